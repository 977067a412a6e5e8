"""A run that starts from a checkpoint takes the user's settings, or refuses them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kanlit.checkpoints import read_checkpoint

CommandLine = Callable[[str], tuple[int, str, str]]
RUN = "--data SyntheticData --data.samples 30 --trainer.enable_progress_bar false"
FIT = f"fit {RUN} --adaptation.schedule '[2, 4]'"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def trained(command_line: CommandLine) -> CommandLine:
    """The command line in a folder with ``a.ckpt``, of 3 epochs with Adam at 1e-3."""
    line = f"{FIT} --model.hidden '[3]' --model.optimizer.lr 1e-3 --trainer.max_epochs 3"
    assert command_line(line)[0] == 0
    shutil.copy("lightning_logs/version_0/checkpoints/last.ckpt", "a.ckpt")
    return command_line


def newest() -> dict[str, object]:
    folder = max(Path("lightning_logs").iterdir(), key=lambda path: int(path.name[8:]))
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")


def test_settings_that_can_change_are_applied_and_the_others_are_the_checkpoints(
    trained: CommandLine,
) -> None:
    go_on = f"{FIT} --ckpt_path a.ckpt --trainer.max_epochs 5"
    status, _, err = trained(
        f"{go_on} --model.sparsity_l1 0.5 --model.robust 2.0 --model.optimizer.weight_decay 0.1"
    )
    assert status == 0
    assert "weight_decay is 0.1 now, 0.0 in the checkpoint" in err
    assert "lr is" not in err
    content = newest()
    settings, (group,) = content["hyper_parameters"], content["optimizer_states"][0]["param_groups"]
    assert (settings["hidden"], settings["sparsity_l1"], settings["robust"]) == ([3], 0.5, 2.0)
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.1)  # not the default's 1e-2

    status, _, err = trained(f"{go_on} --model.optimizer LevenbergMarquardt")
    assert status == 0
    assert "optimizer reset: LevenbergMarquardt now, Adam in the checkpoint" in err
    status, _, err = trained(f"{FIT} --ckpt_path last --trainer.max_epochs 7")
    assert status == 2
    assert "set model.optimizer to LevenbergMarquardt" in err


def test_a_longer_run_does_not_lose_intervals(trained: CommandLine) -> None:
    """Spread over 9 epochs, the list has G = 4 where the checkpoint has 6 already."""
    sizes = f"fit {RUN} --model.hidden '[2]' --adaptation.schedule '[2, 4, 6]'"
    assert trained(f"{sizes} --trainer.max_epochs 3")[0] == 0
    status, out, error = trained(f"{sizes} --ckpt_path last --trainer.max_epochs 9")
    assert status == 0, error
    assert re.findall(r"epoch (\d): grids adapted, G = (\d)", out) == [("3", "6"), ("6", "6")]


def test_scores_of_another_metric_are_not_compared(command_line: CommandLine) -> None:
    keep = "--trainer.callbacks KeepBest --trainer.callbacks.monitor"
    line = f"{FIT} --model.hidden '[3]' --trainer.max_epochs 3"
    assert command_line(f"{line} {keep} val/rel_l2 --checkpoint.monitor val/rel_l2")[0] == 0
    # A score that no later one can beat.
    path = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    content["callbacks"]["KeepBest"]["best"] = -1.0
    content["callbacks"]["Checkpoint"]["best_model_score"] = torch.tensor(-1.0)
    torch.save(content, path)

    go_on = f"{FIT} --ckpt_path last --trainer.max_epochs 5"
    status, _, err = command_line(f"{go_on} {keep} val/loss")
    assert status == 0, err
    for name in ("Checkpoint", "KeepBest"):
        said = (
            f"the best score is reset: {name} monitors val/loss now, val/rel_l2 in the checkpoint"
        )
        assert err.count(said) == 1
    after = newest()["callbacks"]
    assert isinstance(after, dict)
    assert after["KeepBest"]["best"] > 0
    assert after["Checkpoint"]["best_model_score"] > 0
    assert after["KeepBest"]["monitor"] == "val/loss"


def test_settings_of_another_network_are_refused(trained: CommandLine) -> None:
    test = f"test {RUN} --ckpt_path a.ckpt"
    assert trained(f"{test} --model.hidden '[3]'")[0] == 0
    for words in (f"{test} --model.hidden '[4]'", f"{FIT} --init_from a.ckpt --model.hidden '[4]'"):
        status, _, err = trained(words)
        assert status == 2
        assert "--model.hidden is [4], but the network in a.ckpt has hidden [3]" in err


def test_a_run_that_has_ended_says_that_nothing_is_trained(trained: CommandLine) -> None:
    status, out, err = trained(f"{FIT} --ckpt_path a.ckpt --trainer.max_epochs 3")
    assert status == 0
    assert "checkpoint: none kept (nothing was trained)" in out
    assert re.search("nothing was trained: .* epoch 3 and step 3 .*max_epochs 3", err)


def test_weights_alone_start_a_new_run(trained: CommandLine) -> None:
    line = f"fit {RUN} --init_from a.ckpt --trainer.max_epochs 1 --model.optimizer SGD"
    assert trained(f"{line} --model.optimizer.lr 1e-30 --trainer.limit_val_batches 0")[0] == 0
    old, new = read_checkpoint(Path("a.ckpt")), newest()
    assert new["global_step"] == 1
    for name, tensor in old["state_dict"].items():
        if name.endswith("knots"):  # G stays; the adaptation at the start moves the knots
            assert new["state_dict"][name].shape == tensor.shape
        if name.endswith("bias") or name.startswith("target"):
            assert torch.equal(new["state_dict"][name], tensor)
