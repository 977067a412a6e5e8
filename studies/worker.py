"""A process with one contender in it, that times what it is asked to and says how long it took.

    python studies/worker.py kanlit

It is started by packages.py and growth.py, imports the contender's package once, and forks a
child for each case: memory is a fresh process's each time, imports are not paid for again. Orders
and answers are a line of JSON each.

Time is the processor's, of all threads of the process, which stays on one core. Memory is the
peak of resident memory during two steps over what the process holds between steps, weights and
the optimizer's state included there: what a step needs for itself.
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

_LARGE = 1 << 16  # bytes from which memory is given back to the system when it is freed


def _status(field: str) -> float:
    """A size from the system's book on this process, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def peak_memory(step: Callable[[], None]) -> float | None:
    """MiB that ``step`` needs beyond what the process holds before it; None off Linux."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, _LARGE)  # M_MMAP_THRESHOLD: what is freed is no longer resident
    for _ in range(2):
        step()
    libc.malloc_trim(0)
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
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
    """One case, in its own process: answers orders until told to end."""

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
        answer({"ended": True})  # reads no more: the next order is the parent's
    except Exception as error:  # of a package that is not ours: a row of the table says what
        answer({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"})


def main() -> None:
    """Imports the contender, then forks for each case."""
    (name,) = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
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
