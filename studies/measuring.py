"""Measures workers in turn, so that changes in the machine's load affect all of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contenders import CONTENDERS, Case

__all__ = ["Measurement", "Worker", "measure", "measure_in_turn"]

_ROUND = 0.2  # approximate seconds per round


@dataclass(frozen=True)
class Measurement:
    """Result of one contender on one case.

    Attributes:
        contender: Name of the contender.
        case: The case.
        step: Processor milliseconds of a training step, median over rounds.
        forward: Processor milliseconds of a forward pass, median over rounds.
        memory: Peak memory of a training step, MiB.
        failure: Reason if there is no result.
    """

    contender: str
    case: Case
    step: float | None = None
    forward: float | None = None
    memory: float | None = None
    failure: str = ""


class Worker:
    """Process of one contender."""

    def __init__(self, name: str) -> None:
        self.name = name
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | dict(CONTENDERS[name].environment)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.failure = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def ask(self, **order: Any) -> float | None:
        """The answer to one request; None after a failure, until the next case."""
        if self.failure:
            return None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "cannot be imported here"}
        self.failure = answer.get("error", "")
        value: float | None = answer.get("value")
        return value

    def begin(self, case: Case, limit_gib: float) -> None:
        """Builds the case in a new process with a memory limit, and runs one warm-up step."""
        self.failure = ""
        sizes = [case.grid_size, case.batch]
        self.ask(what="begin", widths=case.widths, sizes=sizes, limit_gib=limit_gib)

    def end(self) -> None:
        """Ends the process of the case."""
        self.ask(what="end")


def measure(
    case: Case, workers: Sequence[Worker], rounds: int, limit_gib: float, forward: bool = True
) -> list[Measurement]:
    """Times and memory of all contenders on a case."""
    return measure_in_turn([(worker, case) for worker in workers], rounds, limit_gib, forward)


def measure_in_turn(
    pairs: Sequence[tuple[Worker, Case]], rounds: int, limit_gib: float, forward: bool = True
) -> list[Measurement]:
    """Times and memory of all workers in turn, each with its own case."""
    calls = ("step", "forward") if forward else ("step",)
    for worker, case in pairs:
        worker.begin(case, limit_gib)
    counts: dict[tuple[int, str], int] = {}
    times: dict[tuple[int, str], list[float]] = {}
    for number, (worker, _) in enumerate(pairs):
        for call in calls:
            first = worker.ask(what="time", call=call, count=1)
            counts[number, call] = max(1, min(50, int(_ROUND / first))) if first else 1
            times[number, call] = []
    for _ in range(rounds):
        for number, (worker, _) in enumerate(pairs):
            for call in calls:
                key = number, call
                seconds = worker.ask(what="time", call=call, count=counts[key])
                if seconds is not None:
                    times[key].append(1e3 * seconds)
    # Last, because it changes how memory is allocated.
    memory = [worker.ask(what="memory", call="step") for worker, _ in pairs]
    found = []
    for number, (worker, case) in enumerate(pairs):
        medians = [
            statistics.median(times[number, call]) if not worker.failure else None for call in calls
        ]
        step, passed = medians[0], medians[1] if forward else None
        held = None if worker.failure else memory[number]
        found.append(Measurement(worker.name, case, step, passed, held, worker.failure))
        worker.end()
    return found
