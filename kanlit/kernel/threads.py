"""On how many threads to compute, with the same results for any number of them.

Sums and matrix products of torch differ in their last bits with the number of its threads. What
must not differ runs in pieces that do not depend on that number, each on one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

__all__ = ["in_order", "thread_count", "torch_on_one_thread"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_count: ContextVar[int | None] = ContextVar("kanlit threads", default=None)


def thread_count() -> int:
    """Threads of the kernel and of :func:`in_order`: ``torch.get_num_threads()`` of the user."""
    return _count.get() or torch.get_num_threads()


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Runs torch's own operations on one thread, all else on as many as before."""
    before = torch.get_num_threads()
    token = _count.set(thread_count())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _count.reset(token)


def in_order(task: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """The results of a task without gradients, in the order of the items, several at a time.

    Call it inside :func:`torch_on_one_thread`.
    """

    @torch.no_grad()
    def run(item: _Item) -> _Result:
        return task(item)

    threads = thread_count()
    if threads == 1:
        yield from map(run, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Result]] = deque()
        for item in items:
            waiting.append(pool.submit(run, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
