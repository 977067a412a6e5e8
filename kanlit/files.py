"""Atomic writing of files, and checks of paths to read or write."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from kanlit.errors import ConfigurationError

__all__ = [
    "acquired",
    "check_output",
    "check_regular",
    "check_room",
    "expanded",
    "linked",
    "remove_leftovers",
    "shown",
    "write_text",
    "writing_problem",
    "written_whole",
]

_UNFINISHED = re.compile(r"\..+\.(?P<pid>\d+)")  # as :func:`written_whole` names them


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` replaced by the home folder."""
    return Path(os.path.expanduser(path))


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Checks that a file with one of the suffixes can be written to ``path``; creates its folder.

    Raises:
        ConfigurationError: ``path`` has another suffix or is a folder, or its folder cannot be
            created or written to.
    """
    known = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if path.is_dir():
        raise ConfigurationError(f"output {path} is a folder: name a {known} file in it")
    if path.suffix.lower() not in suffixes:
        has = f"ends in {path.suffix}" if path.suffix else "has no suffix"
        raise ConfigurationError(f"output {path} {has}: name a file that ends in {known}")
    if problem := writing_problem(path.parent):
        raise ConfigurationError(f"cannot write {path} ({problem}): choose another path")


def check_regular(path: Path, kind: str) -> None:
    """Raises if ``path`` exists but is not a regular file: reading a device or pipe may never end.

    Raises:
        ConfigurationError: ``path`` is a folder, device, pipe or socket, or cannot be accessed.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return  # the reader reports it
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"cannot read {kind} {path}: {reason}") from None
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{kind} {path} is a folder: name the file in it")
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{kind} {path} is a device or a pipe: copy it to a file first")


def check_room(size: int, what: str) -> None:
    """Raises if data do not fit into the memory of this machine.

    Args:
        size: Size of the data in bytes.
        what: Name of the data, in the plural, for the message.

    Raises:
        ConfigurationError: The data are larger than the memory.
    """
    room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > room:
        raise ConfigurationError(
            f"{what} need {size / 1e9:.0f} GB, but this machine has {room / 1e9:.0f} GB: use fewer"
        )


def acquired(path: Path, busy: str) -> FileLock:
    """A lock on a file, which is released when the process ends.

    Raises:
        ConfigurationError: With the message ``busy``, if another process holds it.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(busy) from None
    return lock


def writing_problem(folder: Path) -> str:
    """Why a folder is not writable; empty if it is. Creates the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return "a file exists where its folder would be"
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK) else "Permission denied"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Writes a file atomically: yields a temporary path, which is renamed to ``path`` at the end.

    A reader of ``path`` sees the old file or the new one, never a part of it, even if the process
    is killed or the machine loses power. After an exception the temporary file is removed.

    Raises:
        ConfigurationError: The file system is full or read-only, or the folder does not exist.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        kept = "; the old file is unchanged" if path.is_file() else ""
        raise ConfigurationError(
            f"cannot write {shown(path)} ({error.strerror or error}){kept}: free some space or "
            f"choose another path"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, see :func:`written_whole`."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="")


def shown(path: Path) -> str:
    """A path for messages: relative to the working folder if it is inside it."""
    path = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def linked(path: Path, target: Path) -> None:
    """Makes ``path`` a symbolic link to ``target``, or a copy where links are not supported."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        os.symlink(os.path.relpath(target, path.parent), unfinished)
    except OSError:  # a file system without links, or Windows without the right to make one
        shutil.copyfile(target, unfinished)
    os.replace(unfinished, path)


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that killed processes left in a folder.

    Only files named by :func:`written_whole` are removed, and only if no process with their
    number runs on this machine.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        found = _UNFINISHED.fullmatch(path.name)
        if found and path.is_file() and not _is_alive(int(found["pid"])):
            with suppress(OSError):
                path.unlink()


def _is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    if os.name == "nt":  # where os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
