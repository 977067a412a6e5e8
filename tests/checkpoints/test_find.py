"""The checkpoint that is meant is found: that of the newest run, wherever it wrote."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kanlit.checkpoints import find_checkpoint, folder_of
from kanlit.checkpoints.record import RunRecord, read_record, remember_place, runs_under
from kanlit.errors import ConfigurationError

NAMES = pytest.mark.parametrize("name", ["last", "best"])


def put(root: Path, version: str, name: str, age: int) -> Path:
    """An empty checkpoint that a script has written, ``age`` seconds old."""
    path = root / "lightning_logs" / version / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (2_000_000_000 - age,) * 2)
    return path


def run(
    root: Path,
    folder: str,
    started: int,
    *files: str,
    checkpoints: str | None = "",
    command: str = "fit",
) -> RunRecord:
    """The folder of a run, with empty checkpoints of these names."""
    home = root / folder
    kept = None if checkpoints is None else root / (checkpoints or f"{folder}/checkpoints")
    for path in [home, *([] if kept is None else [kept])]:
        path.mkdir(parents=True, exist_ok=True)
    for file in files:
        assert kept is not None
        (kept / file).touch()
    record = RunRecord.of_this_process(home, kept, command)
    record = replace(record, started=f"2026-01-01T00:00:{started:02}.000000+00:00")
    record.write(home)
    if checkpoints:
        record.write(root / checkpoints)
    remember_place(root, home.parent)
    return record


@NAMES
def test_last_and_best_are_those_of_the_newest_run_not_of_the_newest_file(
    name: str, tmp_path: Path
) -> None:
    newest = run(tmp_path, "lightning_logs/version_0", 9, f"{name}.ckpt")
    run(tmp_path, "lightning_logs/version_1", 3, f"{name}.ckpt")
    run(tmp_path, "lightning_logs/version_2", 11, command="test", checkpoints=None)
    assert find_checkpoint(name, tmp_path) == newest.folder / "checkpoints" / f"{name}.ckpt"


@NAMES
@pytest.mark.parametrize("folder", ["logs/lightning_logs/version_0", "lightning_logs/mine", "v_0"])
def test_they_are_found_wherever_the_run_wrote(name: str, folder: str, tmp_path: Path) -> None:
    run(tmp_path, "lightning_logs/version_0", 1, f"{name}.ckpt")
    run(tmp_path, folder, 2, f"{name}.ckpt", checkpoints="kept/here")
    assert find_checkpoint(name, tmp_path) == tmp_path / "kept/here" / f"{name}.ckpt"
    assert folder_of(find_checkpoint(name, tmp_path)) == tmp_path / folder


def test_runs_are_found_after_all_have_been_moved(tmp_path: Path) -> None:
    run(tmp_path / "a", "logs/version_0", 1, "last.ckpt", checkpoints="kept")
    (tmp_path / "a").rename(tmp_path / "b")
    assert find_checkpoint("last", tmp_path / "b") == tmp_path / "b" / "kept" / "last.ckpt"


def test_best_of_another_name_is_found_by_its_link(tmp_path: Path) -> None:
    made = run(tmp_path, "lightning_logs/version_0", 1, "epoch=3.ckpt", "last.ckpt")
    assert made.checkpoints is not None
    (made.checkpoints / "best.ckpt").symlink_to("epoch=3.ckpt")
    assert find_checkpoint("best", tmp_path) == made.checkpoints / "epoch=3.ckpt"


@NAMES
@pytest.mark.parametrize("checkpoints", ["", None], ids=["killed", "off"])
def test_a_newest_run_without_a_checkpoint_is_refused(
    name: str, checkpoints: str | None, tmp_path: Path
) -> None:
    run(tmp_path, "lightning_logs/version_0", 1, "last.ckpt", "best.ckpt")
    run(tmp_path, "lightning_logs/version_1", 2, checkpoints=checkpoints)
    with pytest.raises(ConfigurationError, match=f"version_1, has no {name} checkpoint"):
        find_checkpoint(name, tmp_path)


def test_a_run_without_a_best_checkpoint_is_not_passed_over(tmp_path: Path) -> None:
    run(tmp_path, "lightning_logs/version_0", 1, "last.ckpt", "best.ckpt")
    run(tmp_path, "lightning_logs/version_1", 2, "last.ckpt")
    with pytest.raises(ConfigurationError, match="has no best checkpoint yet: give last"):
        find_checkpoint("best", tmp_path)


@NAMES
def test_no_run_with_a_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    run(tmp_path, "lightning_logs/version_0", 1)
    put(tmp_path, "version_1", "epoch=9.ckpt", age=0)
    for root in (tmp_path, tmp_path / "no such folder"):
        with pytest.raises(ConfigurationError, match=f"no {name} checkpoint under .*train one fi"):
            find_checkpoint(name, root)


@NAMES
def test_of_runs_of_scripts_the_newest_file_decides(name: str, tmp_path: Path) -> None:
    put(tmp_path, "version_9", f"{name}.ckpt", age=30)
    newest = put(tmp_path, "version_2", f"{name}.ckpt", age=10)
    put(tmp_path, "version_10", f"{name}.ckpt", age=20)
    put(tmp_path, "version_3", "epoch=9.ckpt", age=0)
    assert find_checkpoint(name, tmp_path) == newest


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "{", '{"folder": 3}', "[" * 10000, '{"folder": "x"}', "x" * 100_000],
)
def test_a_record_that_is_none_is_passed_over(content: str, tmp_path: Path) -> None:
    kept = run(tmp_path, "lightning_logs/version_0", 1, "last.ckpt")
    other = tmp_path / "lightning_logs" / "version_1"
    other.mkdir()
    (other / "run.json").write_text(content)
    assert read_record(other) is None
    assert [each.folder for each in runs_under(tmp_path)] == [kept.folder]


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "version_0", "epoch=9.ckpt", age=0)
    assert find_checkpoint(str(path), tmp_path / "elsewhere") == path
    monkeypatch.setenv("HOME", str(path.parent))
    assert find_checkpoint("~/epoch=9.ckpt", tmp_path) == path


@pytest.mark.parametrize("name", ["missing.ckpt", "lastly", "no such folder/last.ckpt"])
def test_a_path_without_a_file_is_refused_with_the_cure(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    with pytest.raises(ConfigurationError, match="does not exist: give the path of a") as caught:
        find_checkpoint(path, tmp_path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is a folder: give the \.ckpt file in it"):
        find_checkpoint(str(tmp_path), tmp_path)
