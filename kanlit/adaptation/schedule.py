"""Schedules of grid sizes; plain numbers, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from kanlit.errors import ConfigurationError

__all__ = ["check_schedule", "spread"]


def check_schedule(schedule: Mapping[int, int] | Sequence[int]) -> None:
    """Checks a schedule.

    Args:
        schedule: ``{epoch: G}``, or only the grid sizes.

    Raises:
        ConfigurationError: If it is empty, a G is below 1 or decreases, or an epoch is negative.
    """
    if not schedule:
        raise ConfigurationError("schedule is empty: give grid sizes such as [3, 6, 9, 12]")
    times = sorted(schedule) if isinstance(schedule, Mapping) else []
    sizes = [schedule[t] for t in times] if isinstance(schedule, Mapping) else list(schedule)
    if any(t < 0 for t in times):
        raise ConfigurationError(f"schedule has an epoch before 0: {min(times)}")
    if min(sizes) < 1:
        raise ConfigurationError(f"schedule contains G = {min(sizes)}: use grid sizes of 1 or more")
    for before, after in pairwise(sizes):
        if after < before:
            raise ConfigurationError(
                f"schedule decreases from G = {before} to {after}: grid sizes must not decrease"
            )


def spread(sizes: Sequence[int], total: int) -> dict[int, int]:
    """Spreads grid sizes evenly over ``total`` epochs or steps.

    Example:
        >>> spread([3, 6, 9, 12], 2000)
        {0: 3, 500: 6, 1000: 9, 1500: 12}
    """
    return {i * total // len(sizes): size for i, size in enumerate(sizes)}
