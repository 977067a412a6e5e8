"""Nothing but a KAN's checkpoint is read."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kanlit.checkpoints import AtomicCheckpointIO, read_checkpoint
from kanlit.data import SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from kanlit.nn import KAN, KANLayer
from running import trainer_for


def test_a_checkpoint_of_a_kan_is_read_as_it_is(tmp_path: Path) -> None:
    module = RegressionModule(1, 1, hidden=[3])
    trainer = trainer_for(1)
    trainer.fit(module, datamodule=SyntheticData("f4", samples=20, standardize=False))
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    content = read_checkpoint(tmp_path / "m.ckpt")
    assert content["epoch"] == 1
    assert content["hyper_parameters"]["hidden"] == [3]
    for name, tensor in module.state_dict().items():
        assert torch.equal(content["state_dict"][name], tensor)


class Writes:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


@pytest.mark.parametrize("how", ["pickle", "torch", "torch, old", "in a checkpoint"])
def test_nothing_in_a_file_is_run(how: str, tmp_path: Path) -> None:
    path, proof = tmp_path / "m.ckpt", tmp_path / "proof"
    evil: Any = Writes(proof)
    if how == "in a checkpoint":
        evil = {"state_dict": KAN([1, 1]).state_dict(), "callbacks": evil}
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=how != "torch, old")
    with pytest.raises(ConfigurationError, match="is not a checkpoint"):
        read_checkpoint(path)
    assert not proof.exists()
    if how == "pickle":  # it would have
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert proof.exists()


def foreign() -> dict[str, Any]:
    files: dict[str, Any] = {
        "empty": b"",
        "text": b"hello, this is not a checkpoint\n",
        "a table": b"a,b,y\n1,2,3\n4,5,6\n",
        "a config": b"model:\n  hidden: [10]\n",
        "JSON": b'{"state_dict": {}}',
        "a point": b".",
        "letters": b"Gx",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(64)),
        "half a zip": b"PK\x03\x04" + bytes(40),
        "zeros": bytes(1000),
        "a number": 3,
        "a list": [1, 2],
        "a dict of text": {"state_dict": "weights"},
        "another net's state dict": nn.Linear(2, 1).state_dict(),
        "another net's checkpoint": {"state_dict": nn.Linear(2, 1).state_dict()},
        "no weights": {"state_dict": {}},
        "a bare KAN's state dict": KAN([1, 1]).state_dict(),
        "keys that are numbers": {"state_dict": {0: torch.zeros(1)}},
    }
    return files


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", foreign().values(), ids=foreign().keys())
def test_a_foreign_file_is_refused_in_one_line_that_names_it(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ConfigurationError, match="give one that kanlit fit has written") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_random_bytes_of_any_kind_are_refused(tmp_path: Path) -> None:
    path, draw = tmp_path / "m.ckpt", random.Random(0)
    for first in range(256):
        for head in (bytes([first]), b"\x80\x02" + bytes([first])):
            path.write_bytes(head + draw.randbytes(draw.choice([0, 1, 20])))
            with pytest.raises(ConfigurationError):
                read_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    torch.save(
        {"state_dict": {f"net.{k}": v for k, v in KAN([2, 5, 1]).state_dict().items()}}, path
    )
    read_checkpoint(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ConfigurationError, match="is not a checkpoint"):
        read_checkpoint(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder: name the file in it"):
        read_checkpoint(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_weights_that_a_spawned_rank_returns_are_loaded_as_they_are(tmp_path: Path) -> None:
    """ddp_spawn writes the module's state, and nothing else, for the main process."""
    weights = KANLayer(2, 1).state_dict()
    AtomicCheckpointIO().save_checkpoint(weights, tmp_path / "a.ckpt")
    loaded = AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
