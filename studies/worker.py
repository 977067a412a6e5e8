"""A process that measures one contender on request.

    python studies/worker.py kanlit

packages.py and growth.py start it. It imports the package of the contender once and forks a child
for each case, so that each case has the memory of a new process without repeated imports. Requests
and answers are one line of JSON each.

Time is the processor time of all threads of the process, which is restricted to one core. Memory
is the peak resident memory during two steps minus that between steps, which includes weights and
optimizer state: the memory that a step itself needs.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from contenders import CONTENDERS, Case, Network, one_core

__all__ = ["peak_memory"]

_LARGE = 1 << 16  # size in bytes above which freed memory is returned to the system


def _status(field: str) -> float:
    """A field of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def peak_memory(step: Callable[[], None]) -> float | None:
    """MiB that ``step`` needs above those held before it; None unless on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, _LARGE)  # M_MMAP_THRESHOLD: freed memory is no longer resident
    for _ in range(2):
        step()
    libc.malloc_trim(0)
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    for _ in range(2):
        step()
    return _status("VmHWM") - held


def _seconds(call: Callable[[], None], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - start) / count


def _answer(network: Network, order: dict[str, Any]) -> Any:
    call = getattr(network, order["call"])
    return peak_memory(call) if order["what"] == "memory" else _seconds(call, order["count"])


def _serve(name: str, order: dict[str, Any], orders: TextIO, answers: TextIO) -> None:
    """Serves one case in its own process: answers requests until told to end."""

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        limit = int(order["limit_gib"] * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        network = CONTENDERS[name].build(Case(tuple(order["widths"]), *order["sizes"]))
        network.step()
        network.forward()
        answer({"ready": True})
        while (order := json.loads(orders.readline()))["what"] != "end":
            answer({"value": _answer(network, order)})
        answer({"ended": True})  # stops reading: the next request is for the parent
    except Exception as error:  # any error of another package is reported in the table
        answer({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"})


def main() -> None:
    """Imports the contender, then forks a process for each case."""
    (name,) = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of packages is not an answer
    one_core()
    for module in CONTENDERS[name].imports:
        import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    orders = sys.stdin
    while line := orders.readline():
        child = os.fork()
        if child == 0:
            try:
                _serve(name, json.loads(line), orders, answers)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"error": f"ended by signal {status}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
