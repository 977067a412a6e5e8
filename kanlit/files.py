"""Files that are whole or not there at all, and whether they can be written."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kanlit.errors import ConfigurationError

__all__ = [
    "check_output",
    "check_regular",
    "check_room",
    "expanded",
    "linked",
    "remove_leftovers",
    "shown",
    "writing_problem",
    "written_whole",
]

_UNFINISHED = re.compile(r"\..+\.(?P<pid>\d+)")  # as :func:`written_whole` names them


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path as the user gave it, with ``~`` replaced by the home folder."""
    return Path(os.path.expanduser(path))


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Refuses an ``--output`` at which no file of these kinds can be written; makes its folder.

    Raises:
        ConfigurationError: Another suffix, a folder in its place, a folder that cannot be made
            or written to.
    """
    known = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if path.is_dir():
        raise ConfigurationError(f"--output {path} is a folder: name a file in it, {known}")
    if path.suffix.lower() not in suffixes:
        has = f"ends in {path.suffix}" if path.suffix else "has no suffix"
        raise ConfigurationError(f"--output {path} {has}: name a file that ends in {known}")
    if problem := writing_problem(path.parent):
        raise ConfigurationError(f"cannot write --output {path} ({problem}): name another place")


def check_regular(path: Path, kind: str) -> None:
    """Refuses what is there and no regular file: a device or a pipe may never end.

    Raises:
        ConfigurationError: A folder, device, pipe or socket; a path that cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return  # who reads it says so
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"cannot read {kind} {path}: {reason}") from None
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"cannot read {kind} {path}: it is a folder: name the file in it")
    if not stat.S_ISREG(mode):
        raise ConfigurationError(
            f"cannot read {kind} {path}: it is a device or a pipe: copy it into a file first"
        )


def check_room(size: int, what: str) -> None:
    """Refuses what is larger than the memory of this machine.

    Args:
        size: Bytes that it takes.
        what: Its name, for the message.

    Raises:
        ConfigurationError: It is.
    """
    room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > room:
        raise ConfigurationError(
            f"{what} take {size / 1e9:.0f} GB, this machine has {room / 1e9:.0f} GB: take fewer"
        )


def writing_problem(folder: Path) -> str:
    """Why nothing can be written in a folder; empty where it can. Makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return "a file lies where its folder would be"
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK) else "Permission denied"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a name beside ``path`` to write to; it becomes ``path`` at the end.

    A reader of ``path`` meets the old file or the new one, never half of it, also where the
    process is killed or the machine loses power on the way. What an exception leaves is removed.

    Raises:
        ConfigurationError: The file system refuses: it is full, read-only, or the folder is gone.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        kept = "; it is as it was before" if path.is_file() else ""
        raise ConfigurationError(
            f"cannot write {shown(path)} ({error.strerror or error}){kept}: free some space or "
            f"name another place"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def shown(path: Path) -> str:
    """A path as messages show it: from the working folder, if it lies below."""
    path = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def linked(path: Path, target: Path) -> None:
    """Makes ``path`` another name of ``target``, which lies beside or below it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        os.symlink(os.path.relpath(target, path.parent), unfinished)
    except OSError:  # a file system without links, or Windows without the right to make one
        shutil.copyfile(target, unfinished)
    os.replace(unfinished, path)


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that were killed inside :func:`written_whole` have left in a folder.

    Only files that it names, and only of processes of this machine that are gone.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        found = _UNFINISHED.fullmatch(path.name)
        if found and path.is_file() and not _is_alive(int(found["pid"])):
            with suppress(OSError):
                path.unlink()


def _is_alive(pid: int) -> bool:
    """Whether this machine has a process of this number."""
    if os.name == "nt":  # where asking in this way would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
