"""On how many threads to compute, with the same results for any number of them.

Sums and matrix products of torch differ in their last bits with the number of its threads. What
must not differ runs in pieces that do not depend on that number, each on one thread.
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


def in_order(
    task: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """The results of a task without gradients, in the order of the items, several at a time.

    Call it inside :func:`torch_on_one_thread`.

    Args:
        task: What is done with an item.
        items: The items.
        ahead: So many results at most wait for their use.
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
    """The pieces' results, from this thread and others.

    This thread does all that no other has begun, and waits only for what one has: on a busy machine
    a thread may be long in coming.
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
    """Does pieces as long as there are any; their numbers and results."""
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


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)
