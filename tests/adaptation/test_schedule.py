"""A schedule rises, starts no earlier than the run, and is spread evenly over it."""

from __future__ import annotations

import pytest

from kanlit.adaptation import check_schedule, spread
from kanlit.errors import ConfigurationError


@pytest.mark.parametrize("total", [4, 5, 7, 100, 2000, 12345])
@pytest.mark.parametrize("sizes", [[3], [3, 6], [3, 6, 9, 12], [5, 5, 5]])
def test_spread_starts_at_zero_and_leaves_each_size_an_equal_share(
    sizes: list[int], total: int
) -> None:
    wanted = spread(sizes, total)
    starts = sorted(wanted)
    assert starts[0] == 0
    assert [wanted[start] for start in starts] == sizes
    shares = [end - start for start, end in zip(starts, [*starts[1:], total], strict=True)]
    assert max(shares) - min(shares) <= 1


def test_spread_of_the_paper_s_sizes_is_the_paper_s_schedule() -> None:
    assert spread([3, 6, 9, 12], 2000) == {0: 3, 500: 6, 1000: 9, 1500: 12}


@pytest.mark.parametrize("total", [1, 2, 3])
def test_spread_over_a_run_too_short_for_all_sizes_ends_at_the_largest(total: int) -> None:
    wanted = spread([3, 6, 9, 12], total)
    assert max(wanted) < total
    assert wanted[max(wanted)] == 12
    check_schedule(wanted)


@pytest.mark.parametrize(
    "schedule", [[1], [3, 3, 6], (3, 6), {0: 3}, {5: 6, 0: 3}, {7: 4}, {0: 3, 10: 3}]
)
def test_schedule_that_rises_or_stays_is_accepted(
    schedule: dict[int, int] | list[int],
) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], r"schedule is empty: give grid sizes"),
        ({}, r"schedule is empty: give grid sizes"),
        ([0], r"G = 0: use grid sizes of 1 or more"),
        ([3, -1], r"G = -1: use grid sizes of 1 or more"),
        ({0: 3, 5: 0}, r"G = 0: use grid sizes of 1 or more"),
        ([6, 3], r"decreases from G = 6 to 3"),
        ([3, 6, 5], r"decreases from G = 6 to 5"),
        ({10: 3, 0: 6}, r"decreases from G = 6 to 3"),
        ({-1: 3}, r"an epoch before 0: -1"),
        ({0: 3, -5: 2}, r"an epoch before 0: -5"),
    ],
)
def test_schedule_that_cannot_be_is_refused(
    schedule: dict[int, int] | list[int], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        check_schedule(schedule)
    assert "\n" not in str(caught.value)
