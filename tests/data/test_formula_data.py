"""A formula's samples: where they lie, what they are, and what is refused before training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kanlit.data import FormulaData
from kanlit.errors import ConfigurationError

BOX = {"x": [-1.0, 1.0], "z": [0.0, 2.0]}
TEXT = "y = sin(3*x)*exp(-z)"


def batches(data: FormulaData, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All points and values of training, or of the test."""
    data.setup(stage)
    loader: Any = data.train_dataloader() if stage == "fit" else data.test_dataloader()
    x, y = (torch.cat(parts) for parts in zip(*loader, strict=True))
    return x, y


def test_samples_lie_in_the_bounds_with_the_formula_s_values() -> None:
    data = FormulaData(f"out{TEXT[1:]}", {"z": [0, 2], "x": [-1, 1]}, samples=500)
    assert (data.input_names, data.target_names) == (("x", "z"), ("out",))
    for stage, count in (("fit", 500), ("test", 200**2)):
        x, y = batches(data, stage)
        assert x.shape == (count, 2)
        low, high = torch.tensor(list(BOX.values())).unbind(1)
        assert bool(((x >= low) & (x <= high)).all())
        torch.testing.assert_close(y[:, 0], torch.sin(3 * x[:, 0]) * torch.exp(-x[:, 1]))


def test_noise_is_a_share_of_the_targets_deviation_and_not_in_the_test() -> None:
    quiet, noisy = (
        FormulaData(TEXT, BOX, samples=20000, noise=noise, test_points=50) for noise in (0, 0.1)
    )
    (x, clean), (same, y) = batches(quiet, "fit"), batches(noisy, "fit")
    assert torch.equal(x, same)
    assert float((y - clean).std() / clean.std()) == pytest.approx(0.1, rel=0.02)
    assert torch.equal(batches(noisy, "fit")[1], y)
    again = FormulaData(TEXT, BOX, samples=20000, noise=0.1)
    assert torch.equal(batches(again, "fit")[1], y)
    assert torch.equal(batches(quiet, "test")[1], batches(noisy, "test")[1])
    assert len(batches(noisy, "test")[0]) == 50


def test_scalers_are_those_of_what_is_trained_on() -> None:
    data = FormulaData(TEXT, BOX, samples=300, noise=0.5)
    x, y = batches(data, "fit")
    scales = data.standardization()
    assert scales is not None
    torch.testing.assert_close(scales.target_mean.float(), y.mean(0))
    torch.testing.assert_close(scales.input_std.float(), x.std(0, correction=0))
    assert FormulaData(TEXT, BOX, standardize=False).standardization() is None


@pytest.mark.parametrize(
    ("text", "bounds", "message"),
    [
        (TEXT, {}, "'x' has no bounds: give them, as in bounds: {x: "),
        (TEXT, {"x": [0, 1], "zz": [0, 1]}, "'z' has no bounds: did you mean 'zz'"),
        ("y = x*Pi", {"x": [0, 1]}, "'Pi' has no bounds: did you mean 'pi'"),
        (TEXT, {**BOX, "w": [0, 1]}, "bounds names 'w', which .* does not use"),
        (TEXT, {**BOX, "e": [0, 1]}, "bounds names 'e', which has a meaning"),
        (TEXT, {**BOX, "z": [2, 0]}, "bounds of 'z' are 2 and 0, not rising"),
        (TEXT, {**BOX, "z": [1, 1]}, "bounds of 'z' are 1 and 1, not rising"),
        (TEXT, {**BOX, "z": [0, float("inf")]}, "bounds of 'z' .* not finite"),
        (TEXT, {**BOX, "z": [float("nan"), 1]}, "bounds of 'z' .* not finite"),
        (TEXT, {**BOX, "z": [0, 1, 2]}, r"bounds of 'z' are \[0, 1, 2\], not two numbers"),
        ("y = log(x)", {"x": [-1, 1]}, r"log\(x\) is not finite at x = -"),
        ("y = sqrt(x)*z", {"x": [0, 1], "z": [-1, 1], "w": [0, 1]}, "'w'"),
        ("y = 1/x", {"x": [0, 1]}, r"1/x is not finite at x = 0,"),
        ("y = exp(100*x)", {"x": [0, 1]}, "its value is beyond torch.float32 at x = "),
        ("y = 9**9**9**9*x", {"x": [1, 2]}, r"9\*\*9\*\*9 is not finite"),
        ("y = x - x", {"x": [0, 1]}, "is 0 at every training point"),
    ],
)
def test_formula_and_bounds_that_do_not_fit_are_refused_before_training(
    text: str, bounds: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        FormulaData(text, bounds).setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 1}, "samples must be at least 2"),
        ({"test_points": 0}, "test_points must be at least 2"),
        ({"noise": -0.1}, "noise must be at least 0 .* got -0.1"),
        ({"noise": float("nan")}, "noise .* got nan"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FormulaData(TEXT, BOX, **changes)
