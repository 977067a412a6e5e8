"""The results of a training run, ``results.json`` in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kanlit.files import write_text

__all__ = ["RESULTS", "RunResults", "read_results"]

RESULTS = "results.json"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class RunResults:
    """What a training run came to.

    Attributes:
        test: Test metrics of the network at the end, by name.
        best: Test metrics of the checkpoint that is best on validation; empty if that is the
            network at the end.
        grid_size: G of the layer with the finest grid.
        parameters: Number of trained parameters.
        epochs: Number of epochs, those before a resume included.
        seconds: Training time since the start or the last resume.
        stopped: Why training ended.
    """

    test: Mapping[str, float | None]
    best: Mapping[str, float | None]
    grid_size: int
    parameters: int
    epochs: int
    seconds: float
    stopped: str

    def write(self, folder: Path) -> None:
        """Writes ``results.json`` into the folder of the run; null for metrics not finite."""
        content = {**asdict(self), "test": _finite(self.test), "best": _finite(self.best)}
        write_text(folder / RESULTS, json.dumps(content, indent=1) + "\n")


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {k: v if v is not None and math.isfinite(v) else None for k, v in metrics.items()}


def read_results(folder: Path) -> RunResults | None:
    """The results in the folder of a run; None if it has not ended, or the file is not valid."""
    path = folder / RESULTS
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        found = RunResults(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {"grid_size": int, "parameters": int, "epochs": int, "seconds": float, "stopped": str}
    sound = all(isinstance(getattr(found, key), kind) for key, kind in kinds.items())
    for metrics in (found.test, found.best):
        sound = sound and isinstance(metrics, dict)
        sound = sound and all(isinstance(v, float | None) for v in metrics.values())
    return found if sound else None
