"""Slices of a solution side by side, and as an animation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.plotting import InputKnots, Slice, animate_solution, slices_figure
from kanlit.problems.functions.target import grid_points

BOUNDS = ((-1.0, 1.0), (0.0, 2.0))
X = grid_points(BOUNDS, 161)
TIMES = (0.0, 0.5, 1.0)


def at(t: float, unknowns: int = 2, reference: bool = True) -> Slice:
    """Known values plus 0.5 t in the first unknown, and minus it in the second."""

    def truth(x: Tensor) -> Tensor:
        return torch.stack([x.sum(1) + t, x.prod(1) - t][:unknowns], 1)

    def predict(x: Tensor) -> Tensor:
        return truth(x) + 0.5 * t * torch.tensor([1.0, -1.0])[:unknowns]

    points = torch.full((4, 2), t)
    return Slice(
        f"t = {t}", predict, lambda x: 1 + t * x[:, 0].abs(), points, truth if reference else None
    )


def artists(figure: Any) -> dict[str, Any]:
    return {gid: a for a in figure.findobj() if (gid := a.get_gid()) is not None}


@pytest.mark.parametrize("unknowns", ["u", "uv"])
@pytest.mark.parametrize("reference", [True, False])
def test_each_quantity_has_a_row_of_slices_with_one_scale(unknowns: str, reference: bool) -> None:
    slices = [at(t, len(unknowns), reference) for t in TIMES]
    figure = slices_figure(BOUNDS, "xy", unknowns, slices, [])
    shown = artists(figure)
    kinds = ["prediction", *(["reference", "error"] if reference else [])]
    rows = [*(f"{kind}:{name}" for kind in kinds for name in unknowns), "residual"]
    assert {gid for gid in shown if gid not in ("points", "title")} == {
        f"{row}:{i}" for row in rows for i in range(3)
    }
    for row in rows:
        scales = {(shown[f"{row}:{i}"].norm.vmin, shown[f"{row}:{i}"].norm.vmax) for i in range(3)}
        assert len(scales) == 1
    for i, t in enumerate(TIMES):
        expected = slices[i].predict(X)[:, 0].view(161, 161).T
        np.testing.assert_allclose(shown[f"prediction:u:{i}"].get_array(), expected)
        if reference:
            np.testing.assert_allclose(shown[f"error:u:{i}"].get_array(), 0.5 * t, atol=1e-6)
    words = " ".join(axes.get_title() for axes in figure.axes)
    assert all(f"t = {t}" in words for t in TIMES)


def test_points_and_breakpoints_are_those_of_the_slice() -> None:
    knots = [InputKnots("x", 0, torch.tensor([-0.5, 0.5]))]
    figure = slices_figure(BOUNDS, "xy", "u", [at(t, 1) for t in TIMES], knots)
    marks: list[Any] = [a for a in figure.findobj() if a.get_gid() == "points"]
    assert [float(line.get_xdata()[0]) for line in marks] == list(TIMES)
    assert "knots:0" in artists(figure)


@pytest.mark.parametrize("bounds", [BOUNDS[:1], BOUNDS])
def test_an_animation_has_a_frame_per_slice(bounds: Any, tmp_path: Path) -> None:
    def one(t: float) -> Slice:
        whole = at(t, 1)
        if len(bounds) == 2:
            return whole

        def wide(x: Tensor) -> Tensor:
            return torch.cat([x, x], 1)

        assert whole.reference is not None
        known = whole.reference
        return Slice(
            whole.label,
            lambda x: whole.predict(wide(x)),
            lambda x: whole.residual(wide(x)),
            whole.points[:, :1],
            lambda x: known(wide(x)),
        )

    path = tmp_path / "a.gif"
    animate_solution(path, bounds, "xy"[: len(bounds)], "u", [one(t) for t in TIMES])
    image: Any
    with Image.open(path) as image:
        assert image.n_frames == 3
        frames = []
        for i in range(3):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")).copy())
    assert (frames[0] != frames[1]).any()
    assert (frames[1] != frames[2]).any()


def test_mp4_without_ffmpeg_is_refused(tmp_path: Path) -> None:
    with (
        patch("kanlit.plotting.slices.FFMpegWriter.isAvailable", return_value=False),
        pytest.raises(ConfigurationError, match="MP4 needs ffmpeg"),
    ):
        animate_solution(tmp_path / "a.mp4", BOUNDS, "xy", "u", [at(0.0, 1)])


def test_a_residual_without_a_finite_value_is_drawn(recwarn: pytest.WarningsRecorder) -> None:
    slices = [replace(at(t, 1, False), residual=lambda x: x[:, 0] * torch.nan) for t in TIMES]
    shown = artists(slices_figure(BOUNDS, "xy", "u", slices, []))
    assert "residual:0" in shown
    assert not recwarn.list
