"""A run has a folder of its own, and nothing that is not its own is overwritten."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kanlit.callbacks import Checkpoint
from kanlit.checkpoints import find_checkpoint, read_checkpoint
from kanlit.checkpoints.record import RunRecord, read_record

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

FIT = (
    "fit --data SyntheticData --data.samples 20 --model.hidden '[2]' --trainer.max_epochs 2 "
    "--trainer.enable_progress_bar false --adaptation.schedule '[3]' --trainer.accelerator cpu"
)
DATA = "--data SyntheticData --data.samples 20"

Command = Callable[[str], tuple[int, str, str]]
Start = Callable[..., Any]


def run(command_line: Command, words: str, status: int = 0) -> str:
    """What a command prints; its last line where it is refused."""
    ended, out, err = command_line(words)
    assert ended == status, err
    assert "Traceback" not in err
    return out if status == 0 else err.splitlines()[-1]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# -- its own ------------------------------------------------------------------------------------


def test_a_config_of_the_users_is_not_replaced(command_line: Command, tmp_path: Path) -> None:
    config = "trainer: {logger: false, max_epochs: 2}\nmodel: {hidden: [2]}\ndata: SyntheticData\n"
    (tmp_path / "config.yaml").write_text(config)
    out = run(command_line, "fit --config config.yaml --data.samples 20")
    assert (tmp_path / "config.yaml").read_text() == config
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "lightning_logs"}
    assert "checkpoint: lightning_logs/version_0/checkpoints/last.ckpt" in out
    kept = {path.name for path in (tmp_path / "lightning_logs/version_0").iterdir()}
    assert {"config.yaml", "checkpoints", "run.json", "network.png"} <= kept


REMOTE = """
from lightning.pytorch.loggers.logger import Logger

class Remote(Logger):
    name, version = "elsewhere", "abc"

    def log_metrics(self, metrics, step=None):
        raise ConnectionError("no route to host")

    def log_hyperparams(self, *args, **kwargs):
        pass
"""


def test_a_logger_without_a_folder_leaves_the_run_its_own(
    command_line: Command, tmp_path: Path
) -> None:
    (tmp_path / "of_mine.py").write_text(REMOTE)
    status, out, err = command_line(f"{FIT} --trainer.logger of_mine.Remote")
    assert status == 0, err
    assert "checkpoint: lightning_logs/version_0/checkpoints/last.ckpt" in out
    assert "next: kanlit plot lightning_logs/version_0/checkpoints/last.ckpt" in out
    assert err.count("Remote has failed (ConnectionError: no route to host)") == 1
    assert (tmp_path / "lightning_logs/version_0/network.png").is_file()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept - {"__pycache__"} == {"of_mine.py", "lightning_logs"}


CLAIM = """
import sys
import time
from pathlib import Path
from lightning.pytorch import Trainer
from kanlit.callbacks import Checkpoint
from kanlit.errors import ConfigurationError
from kanlit.runs.folder import start_run

print("ready", flush=True)
while not Path("go").exists():
    time.sleep(0.01)
for _ in range(20):
    trainer = Trainer(accelerator="cpu", callbacks=[Checkpoint(**eval(sys.argv[1]))])
    try:
        print(start_run(trainer, "fit").run.record.folder, flush=True)
    except ConfigurationError as error:
        print("refused:", error, flush=True)
        break
print("done", flush=True)
while not Path("end").exists():  # holds what it has until all have asked
    time.sleep(0.01)
"""


def together(start: Start, folder: Path, settings: dict[str, Any]) -> list[list[str]]:
    """Three processes that claim folders at the same moment; what each got."""

    def all_say(word: str) -> None:
        while not all(each.said().endswith(f"{word}\n") for each in started):
            assert all(each.runs() for each in started)
            time.sleep(0.01)

    (folder / "claim.py").write_text(CLAIM)
    words = str(folder / "claim.py"), repr(settings)
    started = [start(*words, folder=folder) for _ in range(3)]
    all_say("ready")
    (folder / "go").touch()
    all_say("done")
    (folder / "end").touch()
    return [each.ended().stdout.splitlines()[1:-1] for each in started]


def test_runs_that_start_together_each_get_a_folder(start: Start, tmp_path: Path) -> None:
    taken = [folder for got in together(start, tmp_path, {}) for folder in got]
    assert len(taken) == 60
    assert set(taken) == {str(tmp_path / f"lightning_logs/version_{n}") for n in range(60)}


def test_of_runs_that_start_together_in_one_dirpath_one_gets_it(
    start: Start, tmp_path: Path
) -> None:
    got = together(start, tmp_path, {"dirpath": "kept"})
    # One holds it as long as its process lives, and may take it again.
    assert sum(not each[0].startswith("refused") for each in got) == 1
    refused = [each[0] for each in got if each[0].startswith("refused")]
    assert all("checkpoint.dirpath: another run is writing to kept" in each for each in refused)
    record = read_record(tmp_path / "kept")
    assert record is not None
    assert read_record(record.folder) == record


@pytest.mark.parametrize(
    ("setting", "named", "held"),
    [
        ("--checkpoint.dirpath kept", "checkpoint.dirpath: kept", r"\w+\.ckpt"),
        (
            "--trainer.logger CSVLogger --trainer.logger.save_dir logs --trainer.logger.version a",
            "logger.version: logs/lightning_logs/a",
            "checkpoints",
        ),
    ],
)
def test_a_folder_that_the_user_names_is_refused_or_gone_on_in(
    setting: str, named: str, held: str, command_line: Command, tmp_path: Path
) -> None:
    run(command_line, f"{FIT} {setting}")
    before = files(tmp_path)
    said = run(command_line, f"{FIT} {setting}", 2)
    assert re.search(f"{named} has {held} of another run: resume from", said)
    assert files(tmp_path) == before
    out = run(command_line, f"{FIT} {setting} --ckpt_path last --trainer.max_epochs 4")
    last = re.search(r"checkpoint: (\S+last.ckpt)", out)
    assert last is not None
    assert read_checkpoint(tmp_path / last[1])["epoch"] == 4
    if "CSV" in setting:
        assert (tmp_path / "logs/lightning_logs/a/metrics-1.csv").is_file()
    # The other commands look at such a run and leave what it wrote as it is.
    kept = (tmp_path / last[1]).read_bytes()
    logger = setting if "logger" in setting else ""
    run(command_line, f"test {DATA} {logger} --ckpt_path last")
    assert (tmp_path / last[1]).read_bytes() == kept


def test_a_folder_with_a_file_of_the_users_is_not_written_to(
    command_line: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("mine")
    words = "--trainer.logger CSVLogger --trainer.logger.save_dir . --trainer.logger.name ''"
    said = run(command_line, f"{FIT} {words} --trainer.logger.version mine", 2)
    assert "logger.version: mine has config.yaml of another run" in said
    assert files(tmp_path) == {
        "mine/config.yaml": b"mine",
        "mine/.run.lock": b"",
    }


def test_a_run_that_is_refused_before_it_trains_leaves_nothing(
    command_line: Command, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\nx,3\n")
    words = "--data TableData --data.path t.csv --data.inputs '[a]' --data.targets '[y]'"
    run(command_line, f"fit {words} --checkpoint.dirpath kept", 2)
    assert list((tmp_path / "lightning_logs").iterdir()) == []
    assert not (tmp_path / "kept").exists()


def test_fast_dev_run_writes_nothing(command_line: Command, tmp_path: Path) -> None:
    out = run(command_line, f"{FIT} --trainer.fast_dev_run true")
    assert "checkpoint: none kept (fast_dev_run)" in out
    assert "next:" not in out
    assert list(tmp_path.iterdir()) == []


# -- going on -----------------------------------------------------------------------------------


def test_going_on_begins_with_copies_of_last_and_best(
    command_line: Command, tmp_path: Path
) -> None:
    run(command_line, FIT)
    unseen = "--trainer.max_epochs 3 --trainer.check_val_every_n_epoch 2"
    run(command_line, f"{FIT} --ckpt_path last {unseen}")
    runs = tmp_path / "lightning_logs"
    # The third epoch was not validated: the best is that of the first run.
    best = find_checkpoint("best", tmp_path)
    assert best == runs / "version_1/checkpoints/best.ckpt"
    assert best.read_bytes() == (runs / "version_0/checkpoints/best.ckpt").read_bytes()


def test_a_run_killed_before_its_first_checkpoint_is_not_taken_for_an_older_one(
    command_line: Command, tmp_path: Path
) -> None:
    run(command_line, FIT)
    killed = tmp_path / "lightning_logs" / "version_1"
    killed.mkdir()
    RunRecord.of_this_process(killed, killed / "checkpoints", "fit").write(killed)
    before = files(tmp_path)
    said = run(command_line, f"{FIT} --ckpt_path last", 2)
    assert "version_1, has no last checkpoint (ended before it wrote one)" in said
    assert files(tmp_path) == before


def test_a_best_checkpoint_of_another_name_is_found(command_line: Command, tmp_path: Path) -> None:
    run(command_line, f"{FIT} --checkpoint.filename '{{epoch}}-{{val/loss:.1f}}'")
    best = find_checkpoint("best", tmp_path)
    assert re.fullmatch(r"1-\d+\.\d\.ckpt", best.name)
    out = run(command_line, f"test {DATA} --ckpt_path best")
    assert "test/rel_l2" in out


# -- paths --------------------------------------------------------------------------------------


def test_the_home_folder_stands_for_itself_in_every_path(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    (home / "t.csv").write_text("a,y\n" + "".join(f"{i / 9},{i * i}\n" for i in range(40)))
    table = "--data TableData --data.path '~/t.csv' --data.inputs '[a]' --data.targets '[y]'"
    words = FIT.replace("--data SyntheticData --data.samples 20", table)
    run(
        command_line,
        f"{words} --trainer.default_root_dir '~/runs' --checkpoint.dirpath '~/kept' "
        f"--trainer.logger CSVLogger --trainer.logger.save_dir '~/logs'",
    )
    root = "--trainer.default_root_dir '~/runs'"
    run(command_line, "predict --ckpt_path '~/kept/last.ckpt' --input '~/t.csv' --output '~/p.csv'")
    run(command_line, f"test {table} --ckpt_path last {root}")
    run(command_line, f"plot best {root} --output '~/figures'")
    assert list(here.iterdir()) == []
    assert (home / "logs/lightning_logs/version_0/metrics.csv").is_file()
    assert (home / "figures/network.png").is_file()
    assert (home / "p.csv").is_file()


# -- a file system that fails -------------------------------------------------------------------


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_that_says_what_is_whole(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Checkpoint.on_train_epoch_start

    def fill(self: Checkpoint, trainer: Any, module: Any) -> None:
        start(self, trainer, module)
        if trainer.current_epoch == 1:
            monkeypatch.setattr(Path, "write_bytes", full_disk)

    monkeypatch.setattr(Checkpoint, "on_train_epoch_start", fill)
    said = run(command_line, f"{FIT} --checkpoint.every_n_epochs 1", 2)
    last = "lightning_logs/version_0/checkpoints/last.ckpt"
    assert "best.ckpt (No space left on device)" in said
    assert said.endswith(f"; the last good checkpoint: {last}")
    assert read_checkpoint(tmp_path / last)["epoch"] == 0
    assert [path.name for path in (tmp_path / last).parent.iterdir()] == ["last.ckpt"]


def test_a_logger_that_fails_is_one_warning(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning.fabric.loggers.csv_logs._ExperimentWriter.save", full_disk)
    status, out, err = command_line(f"{FIT} --trainer.logger CSVLogger --trainer.logger.save_dir .")
    assert status == 0
    assert "relative L2" in out
    assert err.count("CSVLogger has failed (OSError: [Errno 28] No space left") == 1
    assert (tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt").is_file()


def test_a_folder_that_is_removed_on_the_way_is_made_again(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Checkpoint.on_train_epoch_start

    def remove(self: Checkpoint, trainer: Any, module: Any) -> None:
        start(self, trainer, module)
        if trainer.current_epoch == 1:
            shutil.rmtree(tmp_path / "lightning_logs")

    monkeypatch.setattr(Checkpoint, "on_train_epoch_start", remove)
    out = run(command_line, FIT)
    assert "checkpoint: lightning_logs/version_0/checkpoints/last.ckpt" in out
    assert (tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt").is_file()


def test_what_killed_processes_have_left_is_removed_at_the_next_start(
    command_line: Command, tmp_path: Path
) -> None:
    run(command_line, FIT)
    folder = tmp_path / "lightning_logs/version_0"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    pid = int(ended.stdout)
    leftovers = [folder / f".network.png.{pid}", folder / f"checkpoints/.last.ckpt.{pid}"]
    others = [folder / f".last.ckpt.{os.getppid()}", folder / ".mine", folder / f"mine.{pid}"]
    for path in [*leftovers, *others, tmp_path / f".last.ckpt.{pid}"]:
        path.touch()
    run(command_line, f"test {DATA} --ckpt_path last")
    assert not any(path.exists() for path in leftovers)
    assert all(path.exists() for path in [*others, tmp_path / f".last.ckpt.{pid}"])


# -- checkpoints of the user's own --------------------------------------------------------------


def test_a_checkpoint_callback_of_the_users_works_beside_kanlits(
    command_line: Command, tmp_path: Path
) -> None:
    own = "--trainer.callbacks ModelCheckpoint --trainer.callbacks.monitor val/loss"
    out = run(command_line, f"{FIT} {own} --trainer.callbacks.filename best")
    folder = "lightning_logs/version_0/checkpoints"
    assert f"checkpoint: {folder}/last.ckpt" in out
    assert f"checkpoint of ModelCheckpoint: {folder}/ModelCheckpoint/best.ckpt" in out
    assert (tmp_path / folder / "ModelCheckpoint/best.ckpt").is_file()
    said = run(command_line, f"{FIT} {own} --trainer.enable_checkpointing false", 2)
    assert "trainer.enable_checkpointing is false, but trainer.callbacks has a ModelCheck" in said


def test_without_checkpoints_a_run_says_that_none_is_kept(
    command_line: Command, tmp_path: Path
) -> None:
    out = run(command_line, f"{FIT} --trainer.enable_checkpointing false")
    assert "checkpoint: none kept (enable_checkpointing false)" in out
    assert not list(tmp_path.rglob("*.ckpt"))


def test_every_logger_with_every_way_to_keep_checkpoints(start: Start) -> None:
    script = Path(__file__).resolve().parents[2] / "studies" / "run_matrix.py"
    ended = start(str(script), "--diagonal").ended(600)
    assert "32 commands, 0 wrong" in ended.stdout, ended.stdout + ended.stderr
