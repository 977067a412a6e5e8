"""Pieces of work on several threads: in order, and never waiting for a thread that is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from kanlit.kernel import threads
from kanlit.kernel.threads import in_order, thread_count, torch_on_one_thread


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    with torch_on_one_thread():
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("ahead", [1, 2, 4, 100])
def test_results_come_in_the_order_of_the_items(ahead: int) -> None:
    assert thread_count() == 3
    assert list(in_order(lambda item: item**2, range(10), ahead)) == [i**2 for i in range(10)]
    assert list(in_order(lambda item: item, [], ahead)) == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_results_wait_than_may(ahead: int) -> None:
    begun: list[int] = []
    for used, _ in enumerate(in_order(begun.append, range(20), ahead)):
        assert len(begun) - used <= ahead
    assert len(begun) == 20


def test_several_threads_work_at_a_time_without_gradients() -> None:
    together = threading.Barrier(3, timeout=20)

    def task(item: int) -> bool:
        together.wait()
        return torch.is_grad_enabled()

    assert list(in_order(task, range(3), 3)) == 3 * [False]


def test_threads_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    with ThreadPoolExecutor(2) as busy:
        for _ in range(2):
            busy.submit(go_on.wait)
        monkeypatch.setattr(threads, "_helpers", lambda count: busy)
        try:
            used = list(in_order(lambda item: threading.current_thread(), range(6), 6))
        finally:
            go_on.set()
    assert set(used) == {threading.current_thread()}


def test_a_failure_is_raised_and_leaves_nothing_running() -> None:
    def task(item: int) -> int:
        if item == 2:
            raise ValueError("item 2")
        return item

    for _ in range(2):
        with pytest.raises(ValueError, match="item 2"):
            list(in_order(task, range(8), 8))
    assert list(in_order(abs, range(4), 4)) == [0, 1, 2, 3]
