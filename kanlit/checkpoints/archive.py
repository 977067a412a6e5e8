"""Reads zip files written by ``torch.save`` as tensors and plain Python values.

``torch.load(weights_only=True)`` runs no code either, but it allocates the declared sizes before
they can be checked, and an environment variable disables it. Here sizes are checked first: entries
are stored uncompressed, so they are no larger than the file, and a tensor is no larger than its
storage.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.files import check_regular

__all__ = ["read_archive"]

_MOST_ENTRIES, _MOST_PICKLE, _MOST_VALUES = 100_000, 2**23, 200_000
_DEEPEST = 50
_MOST_VIEWS = 8  # total size of all tensors, relative to the total size of all storages

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# Opcodes that torch.save writes for tensors and plain Python values. Others may allocate memory.
_OPCODES = b"\x80}q(XrKJMG\x8aN\x88\x89]ae)t\x85\x86\x87suhjcRbQ."


class UnsafeError(ValueError):
    """Content that is not a tensor or plain Python value, or that is too large."""


def read_archive(path: Path) -> Any:
    """The content of a file written by ``torch.save``, with tensors on the CPU.

    Raises:
        ConfigurationError: The file does not exist, is not a regular file, was not written by
            ``torch.save``, or has content other than tensors and plain Python values.
    """
    check_regular(path, "checkpoint")
    try:
        with path.open("rb") as file, ZipFile(file) as archive:
            return _Reader(archive, os.fstat(file.fileno())).content()
    except OSError as error:
        if error.strerror is None:  # zipfile's error for a truncated file
            raise _refusal(path, "") from None
        raise ConfigurationError(f"cannot read checkpoint {path}: {error.strerror}") from None
    except UnsafeError as error:
        raise _refusal(path, f" ({error})") from None
    # Arbitrary bytes can make an unpickler raise many kinds of errors.
    except (
        BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        MemoryError,
        struct.error,
    ):
        raise _refusal(path, "") from None


def _refusal(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not a checkpoint, or it holds more than tensors and plain Python and is not "
        f"safe to load{why}: give one that kanlit fit has written"
    )


class _Reader:
    """One archive."""

    def __init__(self, archive: ZipFile, status: os.stat_result) -> None:
        entries = archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise UnsafeError(f"{len(entries)} entries")
        if any(entry.compress_type != ZIP_STORED for entry in entries):
            raise UnsafeError("compressed entries")
        if sum(entry.file_size for entry in entries) > status.st_size:
            raise UnsafeError("entries larger than the file")
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or len({entry.filename for entry in entries}) != len(entries):
            raise UnsafeError("entries of one name")
        if pickles[0].file_size > _MOST_PICKLE:
            raise UnsafeError(f"{pickles[0].file_size} bytes of structure")
        self._archive, self._pickle = archive, pickles[0]
        self._root = self._pickle.filename.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}
        self._stored = self._viewed = 0  # bytes
        self._values = 0

    def content(self) -> Any:
        order = f"{self._root}byteorder"
        if order in self._archive.namelist() and self._archive.read(order) != b"little":
            raise UnsafeError("another byte order")
        loaded = _Unpickler(self._archive.read(self._pickle), self.storage, self.tensor).load()
        if self._viewed > _MOST_VIEWS * self._stored:
            raise UnsafeError("tensors larger than their storages")
        return self._plain(loaded, 0)

    def storage(self, pid: Any) -> Tensor:
        """The numbers ``(n,)`` of one storage."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(key) is not str:
            raise UnsafeError("an unknown kind of storage")
        if key not in self._storages:
            data = self._archive.read(f"{self._root}data/{key}")
            self._stored += len(data)
            self._storages[key] = (
                torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0).to(dtype)
            )
        found = self._storages[key]
        if found.dtype != dtype or type(count) is not int or len(found) != count:
            raise UnsafeError("a storage of another size than declared")
        return found

    def tensor(
        self, storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> Tensor:
        """A view of a storage."""
        numbers = (offset, *size, *stride)
        if type(storage) is not Tensor or any(type(n) is not int or n < 0 for n in numbers):
            raise UnsafeError("a tensor of no valid size")
        if len(size) != len(stride) or len(size) > 16:
            raise UnsafeError("a tensor of no valid size")
        count = 1
        for n in size:
            count *= n
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count > len(storage) or (count and last >= len(storage)):
            raise UnsafeError("a tensor larger than its storage")
        self._viewed += count * storage.element_size()
        view = storage.as_strided(size, stride, offset)
        return view if view.is_contiguous() else view.clone()  # without overlapping elements

    def _plain(self, value: Any, depth: int) -> Any:
        """A copy of the value in plain containers, none of them shared."""
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise UnsafeError("too many values, or too deeply nested")
        kind = type(value)
        if kind in (float, bool, type(None), Tensor):
            return value
        if kind is int and abs(value) < 2**63:
            return value
        if kind is str:
            value.encode()  # refuses text that cannot be encoded
            return value
        if kind in (list, tuple):
            return kind([self._plain(item, depth + 1) for item in value])
        if kind is _Counts and type(value.mapping) is dict:
            return Counter(self._plain(value.mapping, depth + 1))
        if kind is dict:
            plain = {}
            for key, inner in value.items():
                if type(key) not in (str, int, float, bool):
                    raise UnsafeError("a mapping with other keys than texts and numbers")
                plain[self._plain(key, depth + 1)] = self._plain(inner, depth + 1)
            return plain
        raise UnsafeError(f"an object of {kind.__name__}")


@dataclass(frozen=True)
class _Counts:
    """Placeholder for a Counter, such as a scheduler's milestones; not copied while loading."""

    mapping: Any


def _ordered() -> dict[Any, Any]:
    return {}


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


class _Unpickler(pickle._Unpickler):  # the C version allocates memory by sizes in the file
    """Resolves only the names that ``torch.save`` writes; imports nothing."""

    # All other opcodes are refused.
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: pickle._Unpickler.dispatch[code] for code in _OPCODES
    }

    def __init__(
        self, data: bytes, storage: Callable[[Any], Tensor], tensor: Callable[..., Tensor]
    ) -> None:
        super().__init__(BytesIO(data))
        self._storage = storage
        self._names: Mapping[str, Any] = {
            "collections.OrderedDict": _ordered,
            "collections.Counter": _Counts,
            "torch._utils._rebuild_tensor_v2": tensor,
            "torch._utils._rebuild_parameter": _parameter,
            **{f"torch.{name}": dtype for name, dtype in _STORAGES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if path not in self._names:
            raise UnsafeError(f"it names {path}"[:100])
        return self._names[path]

    def persistent_load(self, pid: Any) -> Tensor:
        return self._storage(pid)

    # Attributes of a state dict (_metadata) are ignored.
    dispatch[pickle.BUILD[0]] = lambda self: self.stack.pop()
