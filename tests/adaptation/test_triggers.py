"""Triggers fire when their words say, whatever the losses, and remember it across a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import pytest

from kanlit.adaptation import AllTrigger, AnyTrigger, Observation, PeriodicTrigger, PlateauTrigger
from kanlit.adaptation.triggers import Trigger
from kanlit.errors import ConfigurationError

# A new trigger joins this list and must meet every law of any trigger.
TRIGGERS: dict[str, Callable[[], Trigger]] = {
    "periodic": lambda: PeriodicTrigger(7, start=3),
    "plateau": lambda: PlateauTrigger(patience=3, threshold=0.1, cooldown=2),
    "plateau, eager": lambda: PlateauTrigger(patience=1, threshold=0.0, cooldown=0),
    "any": lambda: AnyTrigger([PeriodicTrigger(11), PlateauTrigger(4, 0.2, 3)]),
    "all": lambda: AllTrigger([PeriodicTrigger(5), PlateauTrigger(4, 0.2, 3)]),
    "nested": lambda: AnyTrigger([AllTrigger([PlateauTrigger(2), PeriodicTrigger(9)])]),
}
each_trigger = pytest.mark.parametrize("make", TRIGGERS.values(), ids=TRIGGERS.keys())

LOSSES: dict[str, list[float]] = {
    "falls and rests": [math.exp(-min(t % 25, 12) / 4) for t in range(80)],
    "noisy": [1 + 0.3 * math.sin(12.9898 * t) for t in range(80)],
    "negative": [-1 - t / 50 for t in range(80)],
    "zero": [0.0] * 80,
    "diverges": [1.0] * 20 + [math.nan] * 30 + [math.inf] * 30,
}
each_loss = pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES.keys())


def firings(trigger: Trigger, losses: Sequence[float | None], start: int = 0) -> list[int]:
    return [t for t, loss in enumerate(losses, start) if trigger.fires(Observation(t, loss))]


# -- laws of every trigger ----------------------------------------------------------------------


@each_loss
@each_trigger
def test_a_trigger_restored_at_any_time_goes_on_as_the_unbroken_one(
    make: Callable[[], Trigger], losses: list[float]
) -> None:
    seen = [None, *losses]
    expected = firings(make(), seen)
    for cut in range(len(seen)):
        first, second = make(), make()
        early = firings(first, seen[:cut])
        # As plain Python only, so that a checkpoint loads it with weights_only.
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert early + firings(second, seen[cut:], start=cut) == expected


@each_trigger
def test_the_state_handed_out_does_not_change_when_the_trigger_goes_on(
    make: Callable[[], Trigger],
) -> None:
    trigger = make()
    firings(trigger, LOSSES["falls and rests"][:9])
    state = trigger.state_dict()
    kept = json.dumps(state)
    firings(trigger, LOSSES["falls and rests"][9:20], start=9)
    assert json.dumps(state) == kept


@each_trigger
def test_scale_of_the_loss_changes_nothing(make: Callable[[], Trigger]) -> None:
    losses = LOSSES["falls and rests"]
    expected = firings(make(), losses)
    for factor in (2.0**-60, 2.0**40):
        assert firings(make(), [factor * loss for loss in losses]) == expected


# -- periodic -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "start"), [(1, 0), (4, 0), (4, 2), (10, 25)])
def test_periodic_fires_at_every_nth_time_from_its_start(every: int, start: int) -> None:
    got = firings(PeriodicTrigger(every, start), [None, *[1.0] * 40])
    assert got == list(range(start, 41, every))


# -- plateau ------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 2, 5, 20])
@pytest.mark.parametrize("cooldown", [0, 1, 7])
def test_plateau_fires_after_its_patience_then_rests_and_looks_anew(
    patience: int, cooldown: int
) -> None:
    got = firings(PlateauTrigger(patience, 0.05, cooldown, at_start=False), [1.0] * 100)
    # One look sets the best, patience of them bring no better, then the rest.
    period = patience + 1 + cooldown
    assert got == list(range(patience, 100, period))


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_plateau_counts_what_is_beyond_its_relative_threshold_and_nothing_less(
    threshold: float, sign: float
) -> None:
    def trigger() -> PlateauTrigger:
        return PlateauTrigger(5, threshold, 0, at_start=False)

    def falling(share: float) -> list[float]:
        rate = 1 - share if sign > 0 else 1 + share
        return [sign * 100 * rate**t for t in range(40)]

    assert firings(trigger(), falling(1.01 * threshold + 1e-6)) == []
    # Slow progress adds up over the patience: just under a fifth of the threshold a look.
    assert firings(trigger(), falling(0.15 * threshold)) == list(range(5, 40, 6))


def test_plateau_of_a_metric_counts_validations_and_nothing_else() -> None:
    def observe(trigger: PlateauTrigger, values: Sequence[float], every: int) -> list[int]:
        """A validation after each so many epochs; the training loss falls all the time."""
        return [
            t
            for t in range(len(values) * every)
            if trigger.fires(
                Observation(t, 0.5**t, {"v": values[t // every]} if t % every == 0 else {})
            )
        ]

    def trigger() -> PlateauTrigger:
        return PlateauTrigger(2, 0.1, 1, at_start=False, monitor="v")

    values = [1.0, 0.95, 0.8, 0.79, 0.78, 9.0, 0.7, 0.7, 0.7]
    once = observe(trigger(), values, 1)
    assert once == [4, 8]
    assert observe(trigger(), values, 5) == [5 * t for t in once]


def test_plateau_lets_slow_progress_add_up_over_its_patience() -> None:
    losses = [0.985**t for t in range(60)]  # 5 % in four looks
    assert firings(PlateauTrigger(5, 0.05, 0, at_start=False), losses) == []


def test_plateau_is_not_reset_by_a_loss_that_leaps_up_and_comes_back() -> None:
    losses = [1.0, 1.0, 50.0, 1.0, 1.0, 1.0]
    assert firings(PlateauTrigger(4, 0.05, 0, at_start=False), losses) == [4]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_plateau_lets_losses_that_are_not_finite_go_by(bad: float) -> None:
    trigger = PlateauTrigger(3, 0.05, 0, at_start=False)
    assert firings(trigger, [bad] * 50) == []
    assert firings(trigger, [1.0, 1.0, bad, 1.0, bad, 1.0]) == [5]


def test_plateau_fires_at_the_very_start_if_asked_to() -> None:
    assert firings(PlateauTrigger(9), [None, 1.0]) == [0]
    assert firings(PlateauTrigger(9, at_start=False), [None, 1.0]) == []
    # Without a loss later on, as after a step that gave none, it waits.
    assert firings(PlateauTrigger(1), [None, None], start=5) == []


# -- several ------------------------------------------------------------------------------------


@each_loss
def test_any_fires_whenever_one_of_its_own_does(losses: list[float]) -> None:
    alone = [set(firings(make(), losses)) for make in TRIGGERS.values()]
    together = firings(AnyTrigger([make() for make in TRIGGERS.values()]), losses)
    assert set(together) == set.union(*alone)


def test_all_fires_when_each_has_fired_since_the_last_time() -> None:
    trigger = AllTrigger([PeriodicTrigger(4), PeriodicTrigger(7, start=1)])
    # 0, 4, 8 … and 1, 8, 15 …: both by 1, by 8, then 12 and 15, 16 and 22, …
    assert firings(trigger, [1.0] * 30) == [1, 8, 15, 22, 29]


@each_trigger
def test_any_and_all_of_one_are_that_one(make: Callable[[], Trigger]) -> None:
    losses = LOSSES["falls and rests"]
    expected = firings(make(), losses)
    assert firings(AnyTrigger([make()]), losses) == expected
    assert firings(AllTrigger([make()]), losses) == expected


@pytest.mark.parametrize("several", [AnyTrigger, AllTrigger])
def test_a_checkpoint_of_another_number_of_triggers_is_refused(
    several: Callable[[list[Trigger]], Trigger],
) -> None:
    state = several([PeriodicTrigger(2)]).state_dict()
    with pytest.raises(
        ConfigurationError, match="has 1 triggers, but this run has 2: use the same"
    ):
        several([PeriodicTrigger(2), PeriodicTrigger(3)]).load_state_dict(state)


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PeriodicTrigger(0), "every must be at least 1, got 0"),
        (lambda: PeriodicTrigger(5, start=-1), "start must be at least 0, got -1"),
        (lambda: PlateauTrigger(patience=0), "patience must be at least 1, got 0"),
        (lambda: PlateauTrigger(threshold=1.0), r"threshold must lie in \[0, 1\), got 1.0"),
        (lambda: PlateauTrigger(threshold=-0.1), r"threshold must lie in \[0, 1\), got -0.1"),
        (lambda: PlateauTrigger(threshold=math.nan), r"threshold must lie in .*nan"),
        (lambda: PlateauTrigger(cooldown=-1), "cooldown must be at least 0, got -1"),
        (lambda: AnyTrigger([]), "AnyTrigger needs at least one trigger"),
        (lambda: AllTrigger([]), "AllTrigger needs at least one trigger"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], Trigger], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
