"""Blends: shares of members of any unit, shape and scope, and what they remember."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import (
    BlendedDensity,
    CurvatureDensity,
    DeBoorDensity,
    GradientDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    LossDensity,
    Scope,
    adapt_grids,
)
from kanlit.callbacks import GridAdaptationCallback
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer


def points(count: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1


def make_kan(dtype: torch.dtype = torch.float64) -> KAN:
    return KAN([2, 3, 1], grid_size=4, dtype=dtype, generator=torch.Generator().manual_seed(1))


def context_of(network: nn.Module, x: Tensor) -> ImportanceContext:
    layer = next(m for m in network.modules() if isinstance(m, KANLayer))
    return ImportanceContext(layer, x, network, x, x.square().sum(1))


class Fixed(ImportanceDensity):
    """Always the same weights."""

    def __init__(self, weights: Tensor, scope: Scope = "layer") -> None:
        self.weights = weights
        self.scope = scope

    def __call__(self, context: ImportanceContext) -> Tensor:
        return self.weights


MEMBERS: dict[str, ImportanceDensity] = {
    "input": InputDensity(),
    "network curvature": CurvatureDensity(),
    "layer curvature": CurvatureDensity("layer"),
    "gradient": GradientDensity(),
    "loss": LossDensity(),
    "de Boor": DeBoorDensity(),
}
each_member = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())


# -- the formula --------------------------------------------------------------------------------


def test_each_member_has_its_share_of_the_weight_of_each_feature() -> None:
    w, v = torch.rand(60, 2).double(), torch.rand(60).double()
    blend = BlendedDensity([Fixed(w), Fixed(v), InputDensity()], [0.5, 0.3, 0.2])
    got = blend(context_of(make_kan(), points()))
    expected = 0.5 * w / w.mean(0) + (0.3 * v / v.mean()).unsqueeze(1) + 0.2
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got.mean(0), torch.ones(2).double())


def test_shares_are_scaled_to_one_and_equal_where_none_are_given() -> None:
    assert BlendedDensity([InputDensity(), LossDensity()], [1, 3]).shares == [0.25, 0.75]
    assert BlendedDensity([InputDensity()] * 4).shares == [0.25] * 4


@each_member
@pytest.mark.parametrize("share", [0.1, 0.7])
def test_no_sample_falls_under_the_share_of_the_input_density(
    member: ImportanceDensity, share: float
) -> None:
    blend = BlendedDensity([InputDensity(), member], [share, 1 - share])
    context = context_of(make_kan(), points())
    weights, alone = blend(context), member(context)
    assert float((weights / weights.mean(0)).min()) >= share - 1e-12
    # No more than that where the member has nothing, and no less than the member has elsewhere.
    expected = share + (1 - share) * alone / alone.mean(0)
    torch.testing.assert_close(weights, expected)


@each_member
def test_a_blend_of_one_is_that_one(member: ImportanceDensity) -> None:
    x = points()
    reports = [
        adapt_grids(make_kan(), x, density, 6, sample_losses=x.square().sum(1))
        for density in (
            member,
            BlendedDensity([member]),
            BlendedDensity([BlendedDensity([member])]),
        )
    ]
    for report in reports[1:]:
        for got, expected in zip(report.layers, reports[0].layers, strict=True):
            torch.testing.assert_close(
                got.new_breakpoints, expected.new_breakpoints, rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("unit", [1e-30, 1e36])
def test_the_unit_of_a_member_does_not_count(unit: float) -> None:
    w, v = torch.rand(60), torch.rand(60)
    context = context_of(make_kan(torch.float32), points().float())
    expected = BlendedDensity([Fixed(w), Fixed(v)])(context)
    got = BlendedDensity([Fixed(unit * w), Fixed(v)])(context)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected)


def test_a_member_whose_weights_are_all_zero_counts_all_samples_alike() -> None:
    w = torch.rand(60, 2).double()
    w[:, 1] = 0
    context = context_of(make_kan(), points())
    got = BlendedDensity([Fixed(w), Fixed(torch.zeros(60))])(context)
    expected = 0.5 + 0.5 * torch.stack([w[:, 0] / w[:, 0].mean(), torch.ones(60)], dim=1)
    torch.testing.assert_close(got, expected)


def test_weights_of_whole_numbers_are_not_cut_off() -> None:
    counts = torch.arange(60)
    got = BlendedDensity([Fixed(counts), InputDensity()])(context_of(make_kan(), points()))
    torch.testing.assert_close(got, 0.5 + 0.5 * counts.double() / counts.double().mean())


# -- scopes -------------------------------------------------------------------------------------


class Watched(ImportanceDensity):
    """Notes what it is asked of; its weights differ from call to call."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.asked: list[tuple[KANLayer, Tensor, list[Tensor]]] = []
        self.given: list[Tensor] = []

    def __call__(self, context: ImportanceContext) -> Tensor:
        knots = [m.knots.clone() for m in context.network.modules() if isinstance(m, KANLayer)]
        self.asked.append((context.layer, context.layer_input.clone(), knots))
        self.given.append(torch.rand(len(context.network_input), dtype=torch.float64))
        return self.given[-1]


@pytest.mark.parametrize("nested", [False, True])
def test_members_of_network_scope_see_the_untouched_network_the_others_each_layer(
    nested: bool,
) -> None:
    network, x = KAN([2, 4, 3, 1], grid_size=4, dtype=torch.float64), points()
    layers = list(network.layers)
    before = [layer.knots.clone() for layer in layers]
    whole, each = Watched("network"), Watched("layer")
    inner = [BlendedDensity([whole])] if nested else [whole]
    report = adapt_grids(network, x, BlendedDensity([*inner, each], [1, 3]), 6)

    assert len(whole.asked) == 1
    assert torch.equal(whole.asked[0][1], x)
    assert all(map(torch.equal, whole.asked[0][2], before))

    assert [layer for layer, _, _ in each.asked] == layers
    for place, (_, seen, knots) in enumerate(each.asked):
        assert seen.shape == (60, layers[place].in_features)
        # The layers before it have been adapted, it and those after it have not.
        assert all(torch.equal(knots[i], layers[i].knots) for i in range(place))
        assert all(torch.equal(knots[i], before[i]) for i in range(place, 3))

    shared = whole.given[0] / whole.given[0].mean()
    for adapted, own in zip(report.layers, each.given, strict=True):
        torch.testing.assert_close(adapted.weights, 0.25 * shared + 0.75 * own / own.mean())


def test_every_adaptation_asks_anew() -> None:
    network, density = make_kan(), Watched("network")
    blend = BlendedDensity([density, Watched("layer")])
    for size in (5, 6):
        adapt_grids(network, points(), blend, size)
    assert len(density.asked) == 2
    assert density.asked[1][2][0].shape[1] > density.asked[0][2][0].shape[1]


@pytest.mark.parametrize(
    ("members", "scope"),
    [
        ([InputDensity()], "layer"),
        ([LossDensity(), CurvatureDensity()], "network"),
        ([LossDensity(), DeBoorDensity()], "layer"),
        ([BlendedDensity([LossDensity()]), GradientDensity()], "network"),
    ],
)
def test_a_blend_is_of_network_scope_where_all_its_members_are(
    members: list[ImportanceDensity], scope: str
) -> None:
    assert BlendedDensity(members).scope == scope


# -- what its members need, remember and raise --------------------------------------------------


def test_members_are_checked_before_training() -> None:
    network = KAN([2, 1], spline_order=1)
    with pytest.raises(ConfigurationError, match="CurvatureDensity needs splines of degree 2"):
        BlendedDensity([InputDensity(), CurvatureDensity()]).check(network)
    BlendedDensity([InputDensity(), GradientDensity(), DeBoorDensity()]).check(network)


def test_what_a_member_lacks_is_said_by_that_member() -> None:
    blend = BlendedDensity([DeBoorDensity(), LossDensity()])
    with pytest.raises(ConfigurationError, match="LossDensity needs the loss of each sample"):
        adapt_grids(make_kan(), points(), blend, 6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.linspace(-1, 1, 60), "weights of Fixed are negative"),
        (torch.rand(3), r"same samples, got InputDensity \(60,\), Fixed \(3,\)"),
        (torch.rand(60, 5), r"layer layers.0: .* \(60, 5\)"),
        (torch.full((60,), float("nan")), "weights must be finite"),
        (torch.full((60,), float("inf")), "weights must be finite"),
    ],
)
def test_weights_that_cannot_be_are_not_hidden_by_the_others(weights: Tensor, message: str) -> None:
    blend = BlendedDensity([InputDensity(), Fixed(weights)], [9, 1])
    with pytest.raises(ValueError, match=message):
        adapt_grids(make_kan(), points(), blend, 6)


class Counts(InputDensity):
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.count += 1
        return super().__call__(context)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_the_callback_s_checkpoint_carries_what_each_member_remembers() -> None:
    counts = [Counts(), Counts()]
    blend = BlendedDensity([counts[0], BlendedDensity([LossDensity(), counts[1]])])
    x = points()
    adapt_grids(make_kan(), x, blend, 6, sample_losses=x.square().sum(1))
    kept = GridAdaptationCallback(blend, {0: 3}).state_dict()

    fresh = [Counts(), Counts()]
    again = BlendedDensity([fresh[0], BlendedDensity([LossDensity(), fresh[1]])])
    GridAdaptationCallback(again, {0: 3}).load_state_dict(kept)
    assert [c.count for c in fresh] == [c.count for c in counts] == [2, 2]


@pytest.mark.parametrize(
    "other", [[Counts()], [Counts(), LossDensity()], [InputDensity(), Counts()]]
)
def test_the_state_of_other_members_is_refused(other: list[ImportanceDensity]) -> None:
    state = BlendedDensity([Counts(), Counts()]).state_dict()
    with pytest.raises(
        ConfigurationError, match=r"blends Counts, Counts, but this run blends .*: use the same"
    ):
        BlendedDensity(other).load_state_dict(state)


def test_after_a_checkpoint_of_another_density_a_blend_starts_afresh() -> None:
    counts = Counts()
    BlendedDensity([counts]).load_state_dict(CurvatureDensity().state_dict())
    assert counts.count == 0


@pytest.mark.parametrize(
    ("densities", "shares", "message"),
    [
        ([], None, "needs at least one density"),
        ([InputDensity()], [], "one entry per density, 1, got 0"),
        ([InputDensity()], [0.5, 0.5], "one entry per density, 1, got 2"),
        ([InputDensity(), LossDensity()], [1, 0], "positive, got 0: remove the density"),
        ([InputDensity(), LossDensity()], [1, -1], "positive, got -1"),
        ([InputDensity()], [float("nan")], "positive, got nan"),
        ([InputDensity()], [float("inf")], "positive, got inf"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    densities: list[ImportanceDensity], shares: list[float] | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        BlendedDensity(densities, shares)
    assert "\n" not in str(caught.value)
