"""Claims the folder of a run, so that no other run writes to it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

from kanlit.callbacks import Checkpoint
from kanlit.callbacks.checkpoint import writes_nothing
from kanlit.checkpoints import RunRecord, carry_over, default_place, runs_in
from kanlit.checkpoints.record import read_record, remember_place
from kanlit.compat import set_root_folder, set_version, version_of
from kanlit.errors import ConfigurationError
from kanlit.files import acquired, remove_leftovers, shown, write_text, writing_problem
from kanlit.runs.lab_book import keep_book, key_settings
from kanlit.runs.loggers import chosen_version, guard, local_loggers
from kanlit.runs.settings import settings_of

__all__ = ["Run", "Started", "start_run"]

# Files of other runs, which a folder named by the user must not contain unless resumed.
_OF_A_RUN = ("checkpoints", "config.yaml", "hparams.yaml", "metrics.csv", "events.out.*", "*.ckpt")
_CHECKPOINTS = ("*.ckpt",)


@dataclass
class _Claim:
    """Files, folders and locks of a run.

    Attributes:
        resumed: The checkpoint that it resumes.
        made: Files and folders that it has created.
        locks: Locks on folders that the user has named, held during the run.
    """

    resumed: Path | None
    made: list[Path] = field(default_factory=list)
    locks: list[FileLock] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "locks": []}  # locks belong to the process that holds them

    def give_up(self) -> None:
        """Removes all files and folders that the run has created."""
        for path in reversed(self.made):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.release()

    def release(self) -> None:
        for lock in self.locks:
            lock.release()


@dataclass
class Run:
    """A run that has started.

    Attributes:
        record: The folders that it writes to.
        logs: The folder for TensorBoard; None without its logger.
        claim: The files, folders and locks that it holds.
    """

    record: RunRecord
    logs: Path | None
    claim: _Claim


class Started(Callback):
    """A run in progress: shares its folder with all ranks, and records whether training has begun.

    Args:
        run: The run that rank 0 has claimed; None on other ranks.
    """

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.training = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.run = trainer.strategy.broadcast(self.run)
        if self.run is not None:
            _point(trainer, self.run.record)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training = True  # the first checkpoint has been written

    def discard(self) -> None:
        """Removes the files of the run if training has not begun."""
        if self.run is not None and not self.training:
            self.run.claim.give_up()

    def release(self) -> None:
        """Releases the folders that the user has named."""
        if self.run is not None:
            self.run.claim.release()


def start_run(
    trainer: Trainer,
    command: str,
    resumed: Path | None = None,
    config: str | None = None,
    name: str | None = None,
) -> Started | None:
    """Claims the folder of a run and sets it in the trainer; call it on every rank.

    The folder is ``save_dir/name/version`` of the first local logger, or without one, the next
    ``version_N`` under ``lightning_logs`` in the root directory. Creating the folder claims it, so
    that runs that start at the same time get different folders.

    Args:
        trainer: A trainer that has not run yet. Sets its loggers, checkpoints and root directory.
        command: ``fit``, ``test``, ``validate`` or ``predict``.
        resumed: The checkpoint to resume.
        config: The settings, saved as ``config.yaml``.
        name: Name of the folder instead of ``version_N``.

    Returns:
        The run, as a callback of the trainer; None if nothing is written (``fast_dev_run``) or
        Lightning writes to a remote file system.

    Raises:
        ConfigurationError: If a folder cannot be written or belongs to another run, or the name
            is not that of a folder.
    """
    if writes_nothing(trainer) or _is_remote(trainer):
        return None
    run = _claim(trainer, command, resumed, config, name) if trainer.is_global_zero else None
    started = Started(run)
    trainer.callbacks.insert(0, started)  # type: ignore[attr-defined]
    if run is not None:
        _point(trainer, run.record)
    settings = {} if config is None else key_settings(settings_of(["--config", config], command))
    for logger in trainer.loggers:
        if settings:
            keep_book(logger, trainer, settings, fits=command == "fit")
        guard(logger)
    return started


def _is_remote(trainer: Trainer) -> bool:
    places = [trainer.default_root_dir, *(each.root_dir for each in local_loggers(trainer))]
    return any("://" in str(place) for place in places)


def _claim(
    trainer: Trainer, command: str, resumed: Path | None, config: str | None, name: str | None
) -> Run:
    root = Path(trainer.default_root_dir).absolute()
    loggers = local_loggers(trainer)
    place = Path(loggers[0].root_dir).absolute() if loggers else default_place(root)
    if problem := writing_problem(place):
        raise ConfigurationError(
            f"cannot write to {shown(place)} ({problem}): give another default_root_dir, or "
            f"another save_dir to the logger"
        )
    claim = _Claim(resumed)
    try:
        _tidy(place)
        version = chosen_version(name, version_of(loggers[0]) if loggers else None)
        setting = "logger.version" if name is None else "name"
        folder, shared = _folder(place, version, setting, command, claim)
        for other in loggers[1:]:
            if version_of(other) is None and Path(other.root_dir).absolute() != place:
                number = _number(_next_version(Path(other.root_dir).absolute(), claim))
                set_version(other, number)
        keeper = next((c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoint)), None)
        checkpoints = None
        if command == "fit" and keeper is not None:
            checkpoints = Path(keeper.dirpath or folder / "checkpoints")
        record = RunRecord.of_this_process(folder, checkpoints, command)
        if checkpoints is not None:
            _open_checkpoints(record, checkpoints, claim)
        if not shared:
            if config is not None:
                write_text(folder / "config.yaml", config)
            record.write(folder)
        remember_place(root, place)
    except BaseException:
        claim.give_up()
        raise
    logs = next((each for each in loggers if isinstance(each, TensorBoardLogger)), None)
    return Run(record, None if logs is None else Path(logs.root_dir), claim)


def _tidy(place: Path) -> None:
    """Removes partial files of killed processes of this machine from the folders of runs."""
    for run in runs_in(place):
        if run.is_here:
            remove_leftovers(run.folder)
            if run.checkpoints is not None and _belongs(run.checkpoints, run.folder):
                remove_leftovers(run.checkpoints)


def _belongs(checkpoints: Path, folder: Path) -> bool:
    record = read_record(checkpoints)
    return folder in checkpoints.parents or (record is not None and record.folder == folder)


def _folder(
    place: Path,
    version: str | int | None,
    setting: str,
    command: str,
    claim: _Claim,
) -> tuple[Path, bool]:
    """The folder of the run, and whether another command reads a training run in it."""
    if version is None:
        return _next_version(place, claim), False
    folder = place / (version if isinstance(version, str) else f"version_{version}")
    if command != "fit" and read_record(folder) is not None:
        _keep_metrics(folder)
        return folder, True
    _take(folder, setting, _OF_A_RUN, claim)
    return folder, False


def _next_version(place: Path, claim: _Claim) -> Path:
    """Creates the next free ``version_N``."""
    place.mkdir(parents=True, exist_ok=True)
    numbers = [_number(path) for path in place.glob("version_*")]
    for number in count(max((n for n in numbers if n is not None), default=-1) + 1):
        folder = place / f"version_{number}"
        with suppress(FileExistsError):
            folder.mkdir()
            claim.made.append(folder)
            return folder
    raise AssertionError("numbers do not end")


def _number(folder: Path) -> int | None:
    digits = folder.name.removeprefix("version_")
    return int(digits) if folder.name.startswith("version_") and digits.isdecimal() else None


def _open_checkpoints(record: RunRecord, checkpoints: Path, claim: _Claim) -> None:
    """Claims the folder of the checkpoints and copies the resumed checkpoint to it."""
    if record.folder not in checkpoints.parents:
        _take(checkpoints, "checkpoint.dirpath", _CHECKPOINTS, claim)
        record.write(checkpoints)
    if claim.resumed is not None:
        new = [checkpoints / f"{name}.ckpt" for name in ("last", "best")]
        claim.made += [path for path in new if not path.is_file()]
        carry_over(claim.resumed, checkpoints)


def _take(folder: Path, setting: str, patterns: tuple[str, ...], claim: _Claim) -> None:
    """Claims a folder that the user has named, for this run only.

    Raises:
        ConfigurationError: If it cannot be created, or another run is writing or has written to it.
    """
    existed = folder.exists()
    if problem := writing_problem(folder):
        raise ConfigurationError(f"{setting}: cannot write to {shown(folder)} ({problem})")
    busy = f"{setting}: another run is writing to {shown(folder)}: name another folder"
    claim.locks.append(acquired(folder / ".run.lock", busy))
    if not existed:
        claim.made.append(folder)
    old = read_record(folder)
    kept = folder if old is None else old.checkpoints
    resumed = claim.resumed
    if resumed is not None and kept is not None and resumed.resolve().parent == kept.resolve():
        rank_zero_info(f"the run continues in {shown(folder)}")
        _keep_metrics(folder)
    elif held := [path.name for pattern in patterns for path in folder.glob(pattern)]:
        raise ConfigurationError(
            f"{setting}: {shown(folder)} has {held[0]} of another run: resume from its last "
            f"checkpoint, or name another folder"
        )


def _keep_metrics(folder: Path) -> None:
    """Renames an existing metrics.csv, which Lightning's CSV logger would remove."""
    path = folder / "metrics.csv"
    if path.is_file():
        number = next(n for n in count(1) if not (folder / f"metrics-{n}.csv").exists())
        path.rename(folder / f"metrics-{number}.csv")
        rank_zero_info(f"{shown(path)} of the run so far is now metrics-{number}.csv")


def _point(trainer: Trainer, record: RunRecord) -> None:
    """Sets the folder of the run in the trainer's loggers and checkpoint callbacks."""
    loggers = local_loggers(trainer)
    for logger in loggers:
        if version_of(logger) is None:
            number = _number(record.folder)
            set_version(logger, record.folder.name if number is None else number)
    if not loggers:
        set_root_folder(trainer, str(record.folder))
    own = record.folder / "checkpoints"
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            # The user's callbacks get separate folders, because two may use the same file names.
            home = own if isinstance(callback, Checkpoint) else own / type(callback).__name__
            callback.dirpath = str(home)
