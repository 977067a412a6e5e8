"""A module whose network, with what an equation puts around it, is the equation's solution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.metrics import RelativeL2Error
from kanlit.modules.coefficients import Coefficients
from kanlit.modules.windows import WindowedModule
from kanlit.nn import Jet
from kanlit.problems import BoundaryValueProblem, Equation
from kanlit.problems.names import Network
from kanlit.problems.record import equation_of, record_of
from kanlit.problems.unknown import CoefficientColumns, Unknown

__all__ = ["TIME", "SolutionModule"]

TIME = "t"  # name of the coordinate


class SolutionModule(WindowedModule):
    """Maps coordinates to unknowns, by the inputs and the ansatz of an equation and its windows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._problem: BoundaryValueProblem | None = None
        self._missing: str | None = None  # class of an equation that a checkpoint needs
        self._finite = False  # whether the residuals of this problem have been checked
        self._tested: list[int] | None = None  # unknowns that the test's values are of; None: all
        self._time_input: int | None = None  # index of the time among the inputs of the network

    @property
    def problem(self) -> Equation | None:
        """The equation to solve; None before the data module has set it."""
        return None if self._problem is None else self._problem.equation

    @problem.setter
    def problem(self, equation: Equation | None) -> None:
        self._problem = None if equation is None else BoundaryValueProblem(equation)
        if self._problem is not None:
            self._provide_coefficients(self._problem.coefficients)
        self._finite, self._missing, self._time_input = False, None, None
        if equation is not None and TIME in equation.coordinates:
            self._time_input = self._required().form.column_of(equation.coordinates.index(TIME))

    def _provide_coefficients(self, unknowns: dict[str, Unknown]) -> None:
        """Creates parameters for unknown coefficients unless there are some for these already."""
        if not unknowns:
            self.coefficients = None
        elif self.coefficients is None or len(self.coefficients.theta.weight) != len(unknowns):
            self.coefficients = Coefficients(len(unknowns)).to(next(self.network.parameters()))
        if self.coefficients is not None:
            self.coefficients.unknowns = unknowns

    def forward(self, x: Tensor) -> Tensor:
        """Maps coordinates ``(n, d)`` to unknowns ``(n, out)``."""
        if self._missing is not None:
            raise ConfigurationError(
                f"the network was trained inside the inputs or the ansatz of {self._missing}, "
                f"which is no equation of kanlit's: set problem of the module to one"
            )
        network: Network = self.network
        if self.window_edges is not None:
            network = self.all_windows(self._time_column())
        found: Tensor = self._around(network)(x)
        return found

    def is_outside(self, x: Tensor) -> Tensor | None:
        """Whether each row ``(n, d)`` is outside the training range or the equation's domain."""
        outside = super().is_outside(x)
        if outside is None or self._problem is None:
            return outside
        return outside | ~self._problem.domain.contains(x)

    def network_inputs(self, x: Tensor) -> Tensor:
        """The inputs ``(n, in)`` of the network, that of the last window, at points ``(n, d)``."""
        if self._problem is not None and self._problem.form.embeds:
            x = torch.cat(self._problem.form.embedded(x.split(1, 1)), 1)
        if self.window_edges is None:
            return x
        return self.window(-1, self._time_column()).local(x, 0)

    def spanning_points(self) -> Tensor:
        like = next(self.parameters())
        if self._problem is not None and (
            self._problem.form.embeds or self.window_edges is not None
        ):
            return like.new_tensor(self._problem.domain.bounds).T
        if self.window_edges is not None and self.columns is not None:
            return torch.stack([self.columns.low, self.columns.high]).to(like)
        return super().spanning_points()

    def solved_network(self) -> Network:
        """The network at the points of the problem: in training, that of the last window."""
        if self.window_edges is None:
            return self.network
        column = self._time_column()
        problem = self._required()
        ends = problem.domain.bounds[problem.equation.coordinates.index(TIME)]
        return self.window(-1, column) if ends == self._last_ends else self.all_windows(column)

    @torch.no_grad()
    def value_before(self, unknown: int, along: Along, x: Tensor) -> Tensor:
        """An unknown or a derivative ``(n, 1)`` by the window before the last one.

        Args:
            unknown: Index of the unknown.
            along: The derivative as a multi-index.
            x: Points ``(n, d)``.
        """
        network = self.window(-2, self._time_column())
        points = x.to(next(self.parameters()))
        found = self._required().around(network).jet(Jet.variables(points, [along]))
        return found.stream(along)[:, unknown : unknown + 1].to(x)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.global_step == 0:
            self.coefficients = None  # a new run starts from the values in the equation
        self._tested = getattr(getattr(self.trainer, "datamodule", None), "tested", None)
        count = self.network.widths[-1] if self._tested is None else len(self._tested)
        if self.test_error.num_outputs != count:
            self.test_error = RelativeL2Error(count)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y, *there = batch  # of a reference, 0 where it has gaps
        found = self(x) if self._tested is None else self(x)[:, self._tested]
        self.test_error.update(found * there[0] if there else found, y)
        self.log("test/rel_l2", self.test_error, batch_size=x.shape[0])

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        equation = self.problem
        if equation is None:
            return
        if not self.test_error.update_called:
            measured = equation.measured_error(self._values)
            if measured is not None:
                self.log("test/rel_l2", measured, sync_dist=True)
        elif len(equation.unknowns) > 1:
            errors = self.test_error.by_output()
            tested = range(len(equation.unknowns)) if self._tested is None else self._tested
            for number, error in zip(tested, errors, strict=True):
                self.log(f"test/rel_l2/{equation.unknowns[number]}", error)

    def _values(self, x: Tensor) -> Tensor:
        """Unknowns ``(n, out)`` at points ``(n, d)`` of any type."""
        return self(x.to(next(self.parameters()))).to(x)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self._problem is not None and not self._problem.form.is_plain:
            checkpoint["kanlit"]["equation"] = record_of(self._problem.equation)
        if self.coefficients is not None:
            checkpoint["kanlit"]["coefficients"] = self.coefficients.record()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._check_equation(checkpoint.get("kanlit", {}).get("equation"))
        self._check_coefficients(checkpoint.get("kanlit", {}).get("coefficients"))

    def restore_content(self, checkpoint: Mapping[str, Any]) -> None:
        super().restore_content(checkpoint)
        self._check_coefficients(checkpoint.get("kanlit", {}).get("coefficients"))

    def _check_coefficients(self, record: Mapping[str, Any] | None) -> None:
        """Takes what is known of coefficients from a checkpoint if it is of the same ones."""
        if record is None or self.coefficients is None:
            return
        own, names = self.coefficients.starts, record["unknowns"]
        if own and own != names:
            raise ConfigurationError(
                f"the checkpoint has the unknown coefficients {', '.join(names)}, from other "
                f"starts or bounds than those of the equation: use the equation that it was "
                f"trained on"
            )
        self.coefficients.restore(record)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        key = f"{prefix}coefficients.theta.weight"
        if key not in state_dict and self.coefficients is not None:
            state_dict[key] = self.coefficients.theta.weight.detach()  # from a run without any
        elif self._problem is None:
            known = state_dict.get(key)
            count = len(known) if isinstance(known, Tensor) and known.ndim == 2 else 0
            like = next(self.network.parameters())
            self.coefficients = Coefficients(count).to(like) if count else None
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _check_equation(self, record: Mapping[str, Any] | None) -> None:
        """Takes the equation of a checkpoint if there is none, or checks that it is alike."""
        if self._problem is None:
            if record is not None:
                self.problem = equation = equation_of(record)
                self._missing = record["class_path"] if equation is None else None
        elif self._problem.form.is_plain != (record is None):
            one, other = ("without", "with") if record is None else ("with", "without")
            raise ConfigurationError(
                f"the checkpoint was trained {one} inputs or an ansatz of an equation, but "
                f"{self._problem.name} is {other}: give the equation that it was trained on, with "
                f"the same conditions (exact or soft), or train anew"
            )

    def _around(self, network: Network) -> Network:
        return network if self._problem is None else self._problem.around(network)

    def _time_column(self) -> int:
        """Index of the time among the network's inputs."""
        if self._time_input is None:  # a restored network without inputs or ansatz around it
            assert self.columns is not None
            self._time_input = self.columns.inputs.index(TIME)
        return self._time_input

    def _coefficient_columns(self) -> CoefficientColumns | None:
        return None if self.coefficients is None else self.coefficients.columns

    def _required(self) -> BoundaryValueProblem:
        if self._problem is None:
            raise RuntimeError(
                f"{type(self).__name__} has no problem yet: the data module sets it in setup"
            )
        return self._problem
