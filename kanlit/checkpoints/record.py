"""The record of a run, ``run.json``: its folder and the folder of its checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kanlit.files import write_text

__all__ = [
    "RECORD",
    "RunRecord",
    "default_place",
    "read_record",
    "remember_place",
    "runs_in",
    "runs_under",
]

RECORD = "run.json"
_MOST_BYTES = 65536  # largest size of a record; usually a few hundred bytes


@dataclass(frozen=True)
class RunRecord:
    """A run on disk.

    Attributes:
        folder: Folder of its config, logs, pictures and predictions.
        checkpoints: Folder of ``last.ckpt`` and ``best.ckpt``; None if it keeps no checkpoints.
        command: ``fit``, ``test``, ``validate`` or ``predict``.
        started: Start time, UTC in ISO 8601, by which runs are ordered.
        host: Name of the machine that started it.
        pid: Process number on that machine.
    """

    folder: Path
    checkpoints: Path | None
    command: str
    started: str
    host: str
    pid: int

    @classmethod
    def of_this_process(cls, folder: Path, checkpoints: Path | None, command: str) -> RunRecord:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        return cls(folder, checkpoints, command, now, socket.gethostname(), os.getpid())

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine."""
        return self.host == socket.gethostname()

    def checkpoint(self, name: str) -> Path | None:
        """Its ``last`` or ``best`` checkpoint; None if it does not exist."""
        if self.checkpoints is None:
            return None
        path = self.checkpoints / f"{name}.ckpt"
        if not path.is_file():  # also a link to a file that is gone
            return None
        # Best may be a link to a file of a name that the user chose.
        return path.parent / os.readlink(path) if path.is_symlink() else path

    def write(self, home: Path) -> None:
        """Writes ``run.json`` into ``home``, the run's folder or that of its checkpoints."""
        content = {
            "command": self.command,
            "started": self.started,
            "folder": _relative(self.folder, home),
            "checkpoints": self.checkpoints and _relative(self.checkpoints, home),
            "host": self.host,
            "pid": self.pid,
        }
        write_text(home / RECORD, json.dumps(content, indent=1) + "\n")


def read_record(home: Path) -> RunRecord | None:
    """The record in a folder; None if there is no valid record."""
    path = home / RECORD
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    kinds = {"command": str, "started": str, "folder": str, "host": str, "pid": int}
    if not isinstance(content, dict) or any(
        not isinstance(content.get(key), kind) for key, kind in kinds.items()
    ):
        return None
    kept = content.get("checkpoints")
    return RunRecord(
        _place(home, content["folder"]),
        _place(home, kept) if isinstance(kept, str) else None,
        content["command"],
        content["started"],
        content["host"],
        content["pid"],
    )


def default_place(root: Path) -> Path:
    """The default folder of the runs of a root directory, which a logger may change."""
    return root / "lightning_logs"


def runs_in(place: Path) -> list[RunRecord]:
    """The runs whose folders are in ``place``, newest first.

    A folder with checkpoints but without a record also counts as a run, of a user's script.
    """
    if not place.is_dir():
        return []
    found = [_run(folder) for folder in sorted(place.iterdir()) if folder.is_dir()]
    return sorted(filter(None, found), key=lambda run: run.started, reverse=True)


def runs_under(root: Path) -> list[RunRecord]:
    """All runs with this root directory, wherever they wrote, newest first."""
    places = dict.fromkeys([default_place(root), *_places(root)])
    runs = [run for place in places for run in runs_in(place)]
    return sorted(runs, key=lambda run: run.started, reverse=True)


def remember_place(root: Path, place: Path) -> None:
    """Makes :func:`runs_under` search ``place`` too.

    Writes one small file per place, so that runs that start together do not overwrite each other.
    """
    if place.resolve() == default_place(root).resolve():
        return
    relative = _relative(place, root)
    file = _index(root) / hashlib.sha256(relative.encode()).hexdigest()[:16]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, relative + "\n")


def _places(root: Path) -> list[Path]:
    index = _index(root)
    files = sorted(index.iterdir()) if index.is_dir() else []
    kept = [f for f in files if f.is_file() and f.stat().st_size <= _MOST_BYTES]
    return [_place(root, f.read_text(encoding="utf-8", errors="replace").strip()) for f in kept]


def _index(root: Path) -> Path:
    return root / ".kanlit" / "places"


def _run(folder: Path) -> RunRecord | None:
    record = read_record(folder)
    if record is not None:
        return record
    kept = [folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best")]
    times = [path.stat().st_mtime for path in kept if path.is_file()]
    if not times:
        return None
    written = datetime.fromtimestamp(max(times), UTC).isoformat(timespec="microseconds")
    return RunRecord(folder, folder / "checkpoints", "fit", written, "", 0)


def _relative(path: Path, home: Path) -> str:
    """A path relative to ``home``, so that both can be moved together."""
    try:
        return os.path.relpath(path.resolve(), home.resolve())
    except ValueError:  # another drive
        return str(path.resolve())


def _place(home: Path, relative: str) -> Path:
    return Path(os.path.normpath(home / relative))
