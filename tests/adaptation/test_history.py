"""A run's knots are kept from the first adaptation to the latest, in a bounded number."""

from __future__ import annotations

import io

import pytest
import torch

from kanlit.adaptation import AdaptationReport, KnotHistory, LayerAdaptation
from kanlit.adaptation import history as history_module


def report(at: float, in_features: int = 2) -> AdaptationReport:
    old = torch.linspace(-1, 1, 4).repeat(in_features, 1)
    new = torch.linspace(-1 - at, 1, 6).repeat(in_features, 1)
    samples = torch.zeros(3, in_features)
    layer = LayerAdaptation("layers.0", old, new, samples, torch.ones(3), 0.0, 0.0)
    return AdaptationReport((layer,), grid_size=5, refit_error=0.0, seconds=0.0)


def test_records_have_the_new_breakpoints_and_the_time() -> None:
    history = KnotHistory()
    history.add(report(0.0), epoch=0, step=0)
    history.add(report(0.5), epoch=10, step=20)

    assert [(r.epoch, r.step, r.grid_size) for r in history.records] == [(0, 0, 5), (10, 20, 5)]
    new = report(0.5).layers[0].new_breakpoints
    assert torch.equal(history.records[1].breakpoints["layers.0"], new)


def test_knots_before_a_first_adaptation_that_comes_late_are_there() -> None:
    history = KnotHistory()
    history.add(report(0.0), epoch=10, step=10)

    assert [record.epoch for record in history.records] == [0, 10]
    old = report(0.0).layers[0].old_breakpoints
    assert torch.equal(history.records[0].breakpoints["layers.0"], old)


def test_history_comes_back_from_a_checkpoint_of_tensors_to_the_last_bit() -> None:
    history, other = KnotHistory(), KnotHistory()
    for i in range(5):
        history.add(report(i / 3), epoch=i, step=i)
    file = io.BytesIO()
    torch.save(history.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))

    for one, two in zip(history.records, other.records, strict=True):
        assert (one.epoch, one.step) == (two.epoch, two.step)
        assert torch.equal(one.breakpoints["layers.0"], two.breakpoints["layers.0"])


def test_first_and_latest_stay_when_records_are_thinned() -> None:
    history = KnotHistory()
    for i in range(1000):
        history.add(report(i / 1000), epoch=i, step=i)
        assert len(history.records) <= 256
        assert (history.records[0].epoch, history.records[-1].epoch) == (0, i)
    epochs = [record.epoch for record in history.records]
    assert epochs == sorted(set(epochs))


def test_large_networks_have_fewer_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_MOST_NUMBERS", 100)
    history = KnotHistory()
    for i in range(50):
        history.add(report(i / 50, in_features=4), epoch=i, step=i)  # 24 numbers each
    assert len(history.records) <= 4
    assert (history.records[0].epoch, history.records[-1].epoch) == (0, 49)
