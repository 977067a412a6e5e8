"""History of the knots of a run; plain data, without Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from kanlit.adaptation.report import AdaptationReport

__all__ = ["KnotHistory", "KnotRecord"]

_MOST_RECORDS, _MOST_NUMBERS = 256, 2**20


@dataclass(frozen=True)
class KnotRecord:
    """Breakpoints of all layers, valid from a certain step of a run.

    Attributes:
        epoch: Number of epochs before.
        step: Number of optimizer steps before.
        breakpoints: ``(in, G+1)`` of each layer, on the CPU.
    """

    epoch: int
    step: int
    breakpoints: Mapping[str, Tensor]

    @property
    def grid_size(self) -> int:
        """G of the finest grid."""
        return max(points.shape[1] - 1 for points in self.breakpoints.values())


class KnotHistory:
    """Breakpoints of a run after each adaptation.

    Keeps at most 256 records, or fewer if they contain more than a million numbers. Beyond that,
    every second record is dropped; the first and the latest are kept.
    """

    def __init__(self) -> None:
        self._records: list[KnotRecord] = []

    @property
    def records(self) -> tuple[KnotRecord, ...]:
        """The records from the first to the latest."""
        return tuple(self._records)

    def add(self, report: AdaptationReport, epoch: int, step: int) -> None:
        """Records an adaptation; at the first one, also the knots before it."""
        if not self._records and step > 0:
            old = {layer.name: _kept(layer.old_breakpoints) for layer in report.layers}
            self._records.append(KnotRecord(0, 0, old))
        new = {layer.name: _kept(layer.new_breakpoints) for layer in report.layers}
        self._records.append(KnotRecord(epoch, step, new))
        numbers = sum(points.numel() for points in new.values())
        if len(self._records) > max(2, min(_MOST_RECORDS, _MOST_NUMBERS // numbers)):
            self._records = [*self._records[:-1:2], self._records[-1]]

    def retain(self, inputs: Mapping[str, Tensor]) -> None:
        """Drops the breakpoints of pruned inputs.

        Args:
            inputs: Inputs that are kept, bool ``(in,)``, by layer name.
        """
        kept = {name: mask.cpu() for name, mask in inputs.items()}
        self._records = [
            replace(r, breakpoints={name: b[kept[name]] for name, b in r.breakpoints.items()})
            for r in self._records
        ]

    def state_dict(self) -> list[dict[str, Any]]:
        """The state, as tensors and plain Python objects."""
        return [{**vars(r), "breakpoints": dict(r.breakpoints)} for r in self._records]

    def load_state_dict(self, state: Any) -> None:
        """Restores a state from :meth:`state_dict`.

        Raises:
            ValueError: If the state is invalid.
        """
        for record in state if isinstance(state, list) else [None]:
            if not _is_record(record):
                raise ValueError("the knot history is malformed")
        self._records = [KnotRecord(**record) for record in state]


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or set(record) != {"epoch", "step", "breakpoints"}:
        return False
    layers = record["breakpoints"]
    return (
        all(type(record[key]) is int and record[key] >= 0 for key in ("epoch", "step"))
        and isinstance(layers, dict)
        and bool(layers)
        and all(_are_breakpoints(points) for points in layers.values())
    )


def _are_breakpoints(points: Any) -> bool:
    return (
        isinstance(points, Tensor)
        and points.is_floating_point()
        and points.ndim == 2
        and points.shape[0] > 0
        and points.shape[1] > 1
        and bool(points.isfinite().all() and (points.diff(dim=1) > 0).all())
    )


def _kept(breakpoints: Tensor) -> Tensor:
    return breakpoints.detach().cpu().clone()
