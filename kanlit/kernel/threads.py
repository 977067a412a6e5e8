"""Number of threads, and parallel evaluation whose results do not depend on it.

The last bits of torch's sums and matrix products depend on its number of threads. Computations
whose result must not depend on it are split into fixed pieces, each of which runs on one thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from itertools import islice
from typing import TypeVar

import torch

__all__ = ["in_order", "thread_count", "torch_on_one_thread"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_count: ContextVar[int | None] = ContextVar("kanlit threads", default=None)


def thread_count() -> int:
    """Threads of the kernel and of :func:`in_order`: the user's ``torch.get_num_threads()``."""
    return _count.get() or torch.get_num_threads()


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Runs torch operations on one thread; :func:`thread_count` stays as it was."""
    before = torch.get_num_threads()
    token = _count.set(thread_count())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _count.reset(token)


def in_order(
    task: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """Applies a task to items on several threads, without gradients; yields results in order.

    Call it inside :func:`torch_on_one_thread`.

    Args:
        task: Function of one item.
        items: The items.
        ahead: Largest number of results computed in advance.
    """
    run = torch.no_grad()(task)
    threads = thread_count()
    if threads == 1 or ahead < 2:
        yield from map(run, items)
        return
    items = iter(items)
    while batch := list(islice(items, ahead)):
        yield from _shared([partial(run, item) for item in batch], threads)


def _shared(pieces: list[Callable[[], _Result]], threads: int) -> list[_Result]:
    """Runs the pieces on this thread and others and returns their results in order.

    This thread runs all pieces that no other has started, and waits only for those that another is
    running: on a busy machine, a new thread may start late.
    """
    left = deque(enumerate(pieces))
    helpers = _helpers(threads - 1)
    helping = [helpers.submit(_work, left) for _ in range(min(threads, len(pieces)) - 1)]
    try:
        done = _work(left)
    finally:
        left.clear()
        helping = [helper for helper in helping if not helper.cancel()]
        wait(helping)
    for helper in helping:
        done += helper.result()
    return [result for _, result in sorted(done, key=lambda numbered: numbered[0])]


def _work(left: deque[tuple[int, Callable[[], _Result]]]) -> list[tuple[int, _Result]]:
    """Runs pieces until none is left; returns their numbers and results."""
    done: list[tuple[int, _Result]] = []
    while True:
        try:
            number, piece = left.popleft()
        except IndexError:
            return done
        done.append((number, piece()))


@cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "kanlit")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)
