"""Time is divided into windows with a network each, which are one solution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from kanlit.adaptation import PeriodicTrigger
from kanlit.callbacks import (
    Checkpoint,
    Continuation,
    GridAdaptationCallback,
    KeepBest,
    PruningCallback,
    TimeWindows,
)
from kanlit.checkpoints import read_checkpoint, restore_module
from kanlit.data import EquationData, ResidualDraw
from kanlit.errors import ConfigurationError
from kanlit.export.program import make, run
from kanlit.modules import PDEModule
from kanlit.nn import KAN, Jet, Windows
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import (
    Advection,
    Burgers,
    Condition,
    Equation,
    Helmholtz,
    Wave,
    derivative,
    dirichlet,
)
from running import trainer_for

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore:epoch")


class Seen(Callback):
    """Weights at the end of each epoch, and a copy of last.ckpt at its start."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.states: list[dict[str, Tensor]] = []
        self.times: list[tuple[float, float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batch = next(iter(trainer.train_dataloader))
        self.times.append(tuple(float(t) for t in batch["collocation"][:, -1].aminmax()))
        if self.folder is not None:
            last = self.folder / "last.ckpt"
            last.with_name(f"{trainer.current_epoch}.ckpt").write_bytes(last.read_bytes())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.states.append({k: v.clone() for k, v in pl_module.state_dict().items()})


class Spoil(Callback):
    """Spoils the weights once after the step of an epoch."""

    def __init__(self, epoch: int, factor: float) -> None:
        self.epoch = epoch
        self.factor = factor

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            self.epoch = -1
            with torch.no_grad():
                pl_module.network.layers[-1].coefficients.mul_(self.factor)


def fit(
    *callbacks: Callback,
    equation: Equation | None = None,
    folder: Path | None = None,
    start: Path | None = None,
    epochs: int = 9,
    optimizer: Any = LevenbergMarquardt,
    points: int = 60,
    **settings: Any,
) -> tuple[PDEModule, Seen, Trainer]:
    torch.manual_seed(1)
    data = EquationData(
        equation or Advection(2.0),
        sampling="residual",
        points=points,
        condition_points=12,
        redraw=ResidualDraw(pool=3 * points, every=2),
    )
    settings = {"hidden": [3], "optimizer": optimizer, "boundary_weight": 100.0, **settings}
    module = PDEModule(data.in_features, data.out_features, **settings)
    seen = Seen(folder)
    keep = [] if folder is None else [Checkpoint(dirpath=str(folder), every_n_epochs=1)]
    trainer = trainer_for(epochs, *callbacks, seen, *keep, precision="64-true")
    trainer.fit(module, data, ckpt_path=start)
    return module, seen, trainer


# -- the networks as one ------------------------------------------------------------------------


def test_each_window_has_its_own_network_and_time_scaled_to_it() -> None:
    networks = [KAN([2, 2, 1], dtype=torch.float64) for _ in range(3)]
    edges = torch.tensor([0.0, 1.0, 3.0, 4.0], dtype=torch.float64)
    whole = Windows(networks, edges, column=1)
    times = torch.tensor([[-1.0], [0.5], [1.0], [2.5], [3.5], [4.0]], dtype=torch.float64)
    x = torch.cat([torch.full_like(times, 0.3), times], 1)
    scaled = [(0, -3.0), (0, 0.0), (1, -1.0), (1, 0.5), (2, 0.0), (2, 1.0)]

    own = [networks[k](torch.tensor([[0.3, s]], dtype=torch.float64)) for k, s in scaled]

    torch.testing.assert_close(whole(x), torch.cat(own))


def test_derivatives_of_windows_are_those_of_autograd() -> None:
    networks = [KAN([2, 2, 1], spline_order=4, dtype=torch.float64) for _ in range(2)]
    whole = Windows(networks, torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64), column=1)
    x = torch.rand(20, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(whole(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient[:, 1].sum(), x)

    for inputs in (Jet.variables(x.detach(), [(1, 1), (0, 1)]), Jet.variables(x * 1, [(1, 1)])):
        jet = whole.jet(inputs)
        torch.testing.assert_close(jet.value, whole(x))
        torch.testing.assert_close(jet.stream((1,))[:, 0], gradient[:, 1])
        torch.testing.assert_close(jet.stream((1, 1))[:, 0], second[:, 1])


# -- training -----------------------------------------------------------------------------------


class Oscillator(Equation):
    """Twenty radians of a cosine."""

    coordinates = ("t",)
    bounds = ((0.0, 2.0),)

    def residual(self, u_tt: Tensor, u: Tensor) -> Tensor:
        return u_tt + 100 * u

    def conditions(self) -> list[Condition]:
        return [dirichlet("initial", {"t": "low"}, 1.0), derivative("velocity", {"t": "low"})]

    def solution(self, points: Tensor) -> Tensor:
        return torch.cos(10 * points)


def test_windows_solve_a_long_time_with_a_small_network() -> None:
    module, seen, trainer = fit(
        TimeWindows(4),
        GridAdaptationCallback(schedule={0: 10}),
        KeepBest(),
        equation=Oscillator(),
        epochs=24,
        spline_order=5,
        hidden=[],
    )

    for epoch, (low, high) in enumerate(seen.times):
        k = epoch // 6
        assert k / 2 <= low <= high <= (k + 1) / 2
    assert trainer.test(module, trainer.datamodule, verbose=False)[0]["test/rel_l2"] < 1e-3  # type: ignore[attr-defined]
    for edge in (0.5, 1.0, 1.5):  # the solution has no jump where a window ends
        before, after = module(torch.tensor([[edge - 1e-9], [edge]], dtype=torch.float64))
        torch.testing.assert_close(after, before, rtol=0, atol=1e-3)


def test_earlier_windows_never_change_and_the_next_starts_from_the_best() -> None:
    _, seen, _ = fit(TimeWindows(3), Spoil(2, 50.0), KeepBest(), optimizer=torch.optim.SGD)

    def networks(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        return {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}

    end, last = seen.states[-1], seen.states[2]
    assert not any(key.startswith("earlier") for key in last)
    first = networks(end, "earlier.0.")
    torch.testing.assert_close(first, networks(seen.states[1], "network."), rtol=0, atol=0)
    assert not torch.equal(first["layers.1.coefficients"], last["network.layers.1.coefficients"])
    for state in seen.states[6:]:
        torch.testing.assert_close(
            networks(state, "earlier.1."), networks(end, "earlier.1."), rtol=0, atol=0
        )
    assert end["window_edges"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


class Driven(Wave):
    """Soft conditions with weights, one of them on an end in x and the start in t."""

    def conditions(self) -> list[Condition]:
        *_, velocity = super().conditions()
        both = {"x": "both", "t": "low"}
        return [dirichlet("initial", both, weight=3.0), velocity]  # type: ignore[arg-type]


def test_a_window_is_tied_to_the_last_in_value_and_velocity() -> None:
    module, _, trainer = fit(TimeWindows(2), equation=Driven(2.0, "soft"), epochs=4)
    problem = module.problem
    assert problem is trainer.datamodule.equation  # type: ignore[attr-defined]
    (tie,) = [each for each in trainer.callbacks if isinstance(each, TimeWindows)]  # type: ignore[attr-defined]

    window = tie.current(trainer.datamodule, module)  # type: ignore[attr-defined]

    listed = {each.name: each for each in window.conditions()}
    assert {name: dict(each.on) for name, each in listed.items()} == {
        "initial": {"x": "both"},
        "start_u": {"t": "low"},
        "velocity": {"t": "low"},
    }
    assert [each.weight for each in listed.values()] == [3.0, 3.0, 1.0]
    x = torch.tensor([[0.3, 0.5], [0.8, 0.5]], dtype=torch.float64)
    first = Windows([module.earlier[0]], module.window_edges[:2], 1)  # type: ignore[index, list-item]
    jet = first.jet(Jet.variables(x, [(1,)]))
    for name, along in (("start_u", ()), ("velocity", (1,))):
        torch.testing.assert_close(listed[name].given(x), jet.stream(along))  # type: ignore[operator, misc]


class Drift(Equation):
    """Exact at the start by the ansatz, without a condition."""

    coordinates = ("x", "t")
    bounds = ((0.0, 2.0), (1.0, 3.0))

    def residual(self, u_t: Tensor, x: Tensor) -> Tensor:
        return u_t - torch.cos(x)

    def ansatz(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(x) + (t - 1) * u


def test_later_windows_are_tied_also_where_the_ansatz_has_the_initial_values() -> None:
    module, _, _ = fit(TimeWindows(2), equation=Drift(), epochs=20, hidden=[])

    x = torch.linspace(0, 2, 9, dtype=torch.float64)
    at = [module(torch.stack([x, torch.full_like(x, t)], 1)) for t in (1.0, 2.0 - 1e-9, 2.0)]
    torch.testing.assert_close(at[0][:, 0], torch.sin(x))
    torch.testing.assert_close(at[1], at[2], rtol=0, atol=0.01)


def test_a_window_in_which_the_loss_explodes_is_halved() -> None:
    with pytest.warns(UserWarning, match=r"t 1 makes the loss explode .* and 0.75 comes first"):
        module, _, _ = fit(Spoil(4, 1e200), TimeWindows({0: 0.5, 3: None}), epochs=9)

    assert module.window_edges.tolist() == [0.0, 0.5, 0.75, 1.0]  # type: ignore[union-attr]


def test_windows_go_with_adam_causality_pruning_and_a_trigger() -> None:
    module, _, _ = fit(
        TimeWindows([0.5, None], trigger=PeriodicTrigger(4)),
        PruningCallback(epochs=[2], node_threshold=0.0, edge_threshold=0.0),
        optimizer=lambda p: torch.optim.Adam(p, lr=1e-2),
        causality=1.0,
    )

    assert module.window_edges.tolist() == [0.0, 0.5, 1.0]  # type: ignore[union-attr]


# -- checkpoints --------------------------------------------------------------------------------


def test_a_run_resumed_across_windows_ends_to_the_last_bit_the_same(tmp_path: Path) -> None:
    def train(name: str, start: Path | None = None) -> dict[str, Any]:
        windows, best = TimeWindows(3), KeepBest()
        module, _, trainer = fit(
            windows,
            GridAdaptationCallback(schedule={0: 3, 4: 5}),
            best,
            folder=tmp_path / name,
            start=start,
            causality=0.5,
        )
        return {
            "weights": dict(module.state_dict()),
            "kept": [windows.state_dict()["kept"], best.state_dict()["kept"]],
            "optimizer": trainer.optimizers[0].state_dict(),
            "metrics": dict(trainer.callback_metrics),
        }

    unbroken = train("unbroken")
    for epoch in (3, 4):  # before a window, and within it
        resumed = train(str(epoch), tmp_path / "unbroken" / f"{epoch}.ckpt")
        torch.testing.assert_close(resumed, unbroken, rtol=0, atol=0)


def test_a_restored_solution_needs_no_equation_and_is_exported_whole(tmp_path: Path) -> None:
    module, _, _ = fit(TimeWindows(2), equation=Burgers(0.1), folder=tmp_path, epochs=4, hidden=[])

    restored = restore_module(read_checkpoint(tmp_path / "last.ckpt"), tmp_path)

    x = torch.rand(30, 2, dtype=torch.float64)
    torch.testing.assert_close(restored(x), module(x), rtol=0, atol=0)
    exported = run(make(restored, {}, ".pt2"), ".pt2")
    torch.testing.assert_close(exported(x), restored(x), rtol=0, atol=1e-12)
    assert restored.spanning_points().tolist() == [[-1.0, 0.0], [1.0, 1.0]]


# -- bad input ----------------------------------------------------------------------------------


class Late(Burgers):
    """A condition at the end of time."""

    def conditions(self) -> list[Condition]:
        return [*super().conditions(), dirichlet("final", {"t": "high"})]


class Hidden(Drift):
    """The network does not see the time itself."""

    def inputs(self, x: Tensor, t: Tensor) -> list[Tensor]:
        return [x, t * 2]


class Steady(Drift):
    """Nothing to carry on in time."""

    def residual(self, u_x: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        return u_x - x


@pytest.mark.parametrize(
    ("windows", "equation", "words"),
    [
        (20, None, "schedule of t has 20 stages, but max_epochs is 9: raise"),
        ([0.5, 1.5], None, "ends at 1.5, but the equation has 1"),
        ([0.0, None], None, "has the end t = 0, but Advection has t from 0 to 1"),
        ([0.5, 0.3, None], None, "has the end t = 0.5 and then 0.3"),
        (2, Helmholtz(1, 1, 1.0), "needs a coordinate t, but Helmholtz has x1, x2"),
        (2, Late(0.1), "condition final of Late holds at the end of t"),
        (2, Hidden(), "the network of Hidden has no input t"),
        (2, Steady(), "Steady has no derivative in t"),
    ],
)
def test_windows_that_do_not_fit_are_refused_before_training(
    windows: Any, equation: Equation | None, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fit(TimeWindows(windows), equation=equation)


def test_a_count_below_two_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="windows must be at least 2, got 1"):
        TimeWindows(1)


def test_windows_and_other_stages_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="TimeWindows and Continuation cannot be combined"):
        fit(TimeWindows(2), Continuation("speed", [1.0, None]))
