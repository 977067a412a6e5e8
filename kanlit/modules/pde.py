"""Differential equations: a KAN learns the solution of a boundary-value problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.bases import Basis, BasisName, basis_class
from kanlit.compat import trainer_of
from kanlit.errors import ConfigurationError
from kanlit.modules.balance import balancing_factors, mean_traces
from kanlit.modules.base import Residual
from kanlit.modules.fields import separate_fields
from kanlit.modules.misfit import misfit_of
from kanlit.modules.ranks import row_count
from kanlit.modules.run_weights import RunWeights, sums_in_time
from kanlit.modules.solution import TIME, SolutionModule
from kanlit.optim.uncertainty import spread_of_parameter
from kanlit.problems import BoundaryValueProblem
from kanlit.problems.observations import OBSERVATIONS

__all__ = ["PDEModule"]

_BALANCE_EVERY = 10  # epochs
_MOST_PARAMETERS = 4000  # whose covariance is computed


class PDEModule(SolutionModule):
    r"""Learns the solution of a differential equation from its residual and its conditions.

    .. math:: L = \sum_e \mathrm{mean}\big(r_e^2\big)
              + w_b \sum_c w_c\,\mathrm{mean}\big(r_c^2\big)
              + w_o\,\mathrm{mean}\big(r_o^2\big)

    with the residual r_e of each equation of the system at the collocation points, the residual
    r_c of each condition at its own points, such as the boundary for Helmholtz, and the difference
    r_o to each observation, in units of its noise if that is given. One
    forward sweep computes exact derivatives, without nested autograd. The data module has the
    equation as its ``problem`` and yields batches ``{collocation, …}``, as ``EquationData`` does.

    Args:
        spline_order: Degree k of the splines, up to 5: one more than the order of the equation, so
            that its highest derivative is continuous, such as 3 for a second-order equation.
        field_hidden: Hidden widths, within ``hidden``, of the network of each unknown in the
            equation's ``fields``; by default all networks have equal shares.
        boundary_weight: w_b, weight of the conditions' mean squared errors, above 0.
        observation_weight: w_o, weight of the observations' mean squared error, above 0.
        weights: fixed, or balanced: the run multiplies each block's weight by a factor, so that all
            blocks have the same mean squared gradient per row (the trace of JᵀJ) as the equation.
            The factors are updated every 10 epochs and logged as ``weight/BLOCK``. ``val/loss``
            leaves them out, so that it is comparable throughout a run. Source: arXiv 2007.14527.
        causality: ε, at least 0. Above 0, residuals at later times t count less in training, by
            exp(-ε Σ L) with L the mean squared residual in each of the earlier 32nds of the time
            axis, updated every epoch; try 1. ``weight/latest`` is that of the last. Source: arXiv
            2203.07404.
        **kwargs: The other arguments are those of :class:`KANModule`.

    Raises:
        ConfigurationError: A degree too low for the equation; a weight that is not positive; data
            without an equation; a residual that is not finite at the start of training.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (6, 6),
        spline_order: int = 3,
        basis: BasisName | type[Basis] = "bspline",
        field_hidden: Sequence[int] | None = None,
        boundary_weight: float = 1.0,
        observation_weight: float = 1.0,
        weights: Literal["fixed", "balanced"] = "fixed",
        causality: float = 0.0,
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-3),
        **kwargs: Any,
    ) -> None:
        least = basis_class(basis).lowest_order(1)
        if spline_order < least:
            raise ConfigurationError(
                f"spline_order must be {least} to 5 for a differential equation, got "
                f"{spline_order}: splines of lower degree have no continuous derivative"
            )
        for name, weight in (
            ("boundary_weight", boundary_weight),
            ("observation_weight", observation_weight),
        ):
            if not 0 < weight < float("inf"):
                raise ConfigurationError(f"{name} must be positive, got {weight}")
        if weights not in ("fixed", "balanced"):
            raise ConfigurationError(f"weights must be fixed or balanced, got {weights!r}")
        if not 0 <= causality < math.inf:
            raise ConfigurationError(f"causality must be at least 0, got {causality}: try 1")
        super().__init__(
            in_features,
            out_features,
            hidden=hidden,
            spline_order=spline_order,
            basis=basis,
            optimizer=optimizer,
            **kwargs,
        )
        self.field_hidden = field_hidden
        self.boundary_weight = boundary_weight
        self.observation_weight = observation_weight
        self.weights = weights
        self.causality = causality
        self._run_weights = RunWeights()
        self._weighted = False  # whether the run has set them

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.global_step == 0:
            self._run_weights, self._weighted = RunWeights(), False
        data = getattr(self.trainer, "datamodule", None)
        given = getattr(data, "problem", None)
        if given is None and stage not in ("fit", "validate"):
            return  # the equation that it was trained with, if any, stays
        self.problem = given
        if self._problem is None:
            raise ConfigurationError(
                "PDEModule needs data with a differential equation, such as HelmholtzData or "
                "EquationData: use one of these; for inputs and targets, set model to "
                "RegressionModule"
            )
        highest, degree = self._problem.order, self.hparams["spline_order"]
        least = self.basis_class.lowest_order(highest)
        if degree < least:
            allowed = "5" if least == 5 else f"{least} to 5"
            order = ("first", "second", "third", "fourth")[highest - 1]
            raise ConfigurationError(
                f"spline_order must be {allowed} for a {order}-order equation, got {degree}: "
                f"splines of lower degree have no continuous {order} derivative"
            )
        if stage == "fit" and self._problem.exact:
            rank_zero_info(
                f"{', '.join(self._problem.exact)}: exact for every network, so that no points are "
                f"needed"
            )

    def adaptation_inputs(self, batch: dict[str, Tensor]) -> Tensor:
        return self.network_inputs(batch["collocation"])

    def residuals(self, batch: Mapping[str, Tensor]) -> dict[str, Residual]:
        problem = self._required()
        named = self._equation(problem, batch)
        blocks = {name: Residual(values) for name, values in named.items()}
        conditions = problem.condition_residuals(
            self.solved_network(), batch, self._coefficient_columns()
        )
        for name, (weight, values) in conditions.items():
            if name in blocks:
                raise ConfigurationError(
                    f"{problem.name}: an equation and a condition are both named {name}: rename one"
                )
            blocks[name] = Residual(values, weight * self.boundary_weight)
        if OBSERVATIONS in batch:
            missed = problem.observation_residual(self.solved_network(), batch)
            blocks[OBSERVATIONS] = Residual(missed, self.observation_weight)
        if not self.training:
            return blocks
        time = self._time(batch) if self.causality else None
        return self._run_weights.applied(blocks, named, time)

    def sample_losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared residual at each collocation point ``(n,)``, summed over the equations."""
        blocks = self._equation(self._required(), batch).values()
        return torch.cat(list(blocks), 1).square().sum(1)

    def on_fit_start(self) -> None:
        # After the weights of a checkpoint, which may be of a network that was not divided.
        if self.network.widths[1:-1] == list(self.hparams["hidden"]):  # otherwise pruned, later
            separate_fields(self.network, self._required(), self.field_hidden)

    def on_train_start(self) -> None:
        resume = getattr(getattr(self.trainer, "datamodule", None), "resume", None)
        if resume is not None:
            resume()
        if not self._weighted:
            self._weigh(self.weights == "balanced")

    def on_train_epoch_end(self) -> None:
        # Before checkpoints are written, and before grids are adapted in the next epoch.
        if not self.trainer.is_last_batch:
            return  # max_steps has cut the epoch short, and a resumed run continues it
        data: Any = getattr(self.trainer, "datamodule", None)
        due = getattr(data, "redraws_after", None)
        if due is not None and due(self.current_epoch):
            fresh = self.redraw_points(data, self.current_epoch + 1)
            self.log("train/fresh_loss", fresh, sync_dist=True)
        due_now = (self.current_epoch + 1) % _BALANCE_EVERY == 0
        self._weigh(self.weights == "balanced" and due_now)
        for name, factor in self._run_weights.factors.items():
            self.log(f"weight/{name}", factor, sync_dist=True)
        if self.causality:
            self.log("weight/latest", float(self._run_weights.in_time[-1]), sync_dist=True)

    def redraw_points(self, data: Any, epoch: int) -> Tensor:
        """Redraws the training points, the denser where the residual is large.

        Args:
            data: The data module, with ``redraw``.
            epoch: The epoch that will use them; the points depend on it, the seed and the weights.

        Returns:
            The loss on the fresh points among which they are chosen.
        """
        generator = torch.Generator().manual_seed((data.seed * 1_000_003 + epoch) % 2**63)
        pool = data.pool(generator)
        batch = {name: tensor.to(self.device, data.dtype) for name, tensor in pool.items()}
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            blocks = self.residuals(batch)
        terms = [block.weight * block.values.square().mean() for block in blocks.values()]
        data.draw(pool, self._sizes(blocks), generator)
        return torch.stack(terms).sum()

    def _weigh(self, balances: bool) -> None:
        """Sets the weights of blocks and in time by the first training batch."""
        self._weighted = True
        if not balances and not self.causality:
            return
        loader: Any = self.trainer.train_dataloader
        batch, strategy = next(iter(loader)), self.trainer.strategy
        with torch.compiler.set_stance("force_eager"):
            if self.causality:
                with torch.no_grad():
                    squares = self.sample_losses(batch)
                own = sums_in_time(self._time(batch), squares).to(self.device)
                sums = strategy.reduce(own, reduce_op="sum")
                self._run_weights.update_in_time(sums.cpu(), self.causality)
            if balances:
                blocks = self.residuals(batch)
                trained = [p for p in self.parameters() if p.requires_grad]
                generator = torch.Generator().manual_seed(self.current_epoch)
                traces = strategy.reduce(
                    mean_traces(blocks, trained, generator), reduce_op="mean"
                ).tolist()
                equations = [name for name in blocks if self._points_of(name) == "collocation"]
                if all(math.isfinite(trace) for trace in traces):
                    named = dict(zip(blocks, traces, strict=True))
                    self._run_weights.factors = balancing_factors(named, equations)

    def estimate_errors(self) -> None:
        """Estimates the standard errors of the unknown coefficients by the first training batch."""
        if self.coefficients is None:
            return
        loader: Any = self.trainer.train_dataloader
        batch = next(iter(loader))
        trained = [p for p in self.parameters() if p.requires_grad]
        count = sum(p.numel() for p in trained)
        if OBSERVATIONS not in batch:
            self.coefficients.set_spread(None, "without data.observations there is no noise level")
        elif count > _MOST_PARAMETERS:
            note = f"not computed for {count} parameters, more than {_MOST_PARAMETERS}"
            self.coefficients.set_spread(None, note)
        else:
            theta = self.coefficients.theta.weight
            spread = spread_of_parameter(
                lambda: self.residuals(batch), trained, theta, OBSERVATIONS
            )
            known = getattr(getattr(self.trainer, "datamodule", None), "noise", None) is not None
            signs = misfit_of(self._required(), self.solved_network(), batch, spread, known)
            self.coefficients.set_spread(spread, signs_of_misfit=signs)

    def _time(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Times ``(n,)`` of the collocation points, scaled to 0 to 1."""
        problem = self._required()
        equation = problem.equation
        if TIME not in equation.coordinates:
            raise ConfigurationError(
                f"causality needs a coordinate {TIME}, but {type(equation).__name__} has "
                f"{', '.join(equation.coordinates)}: remove causality"
            )
        axis = equation.coordinates.index(TIME)
        low, high = problem.domain.bounds[axis]
        return (batch["collocation"][:, axis] - low) / (high - low)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["kanlit"]["weights"] = self._run_weights.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        state = checkpoint.get("kanlit", {}).get("weights")
        trainer = trainer_of(self)
        if state is not None and trainer is not None and trainer.state.fn == "fit":
            self._run_weights.load_state_dict(state)
            self._weighted = True

    def _points_of(self, block: str) -> str:
        """The points of a block: ``collocation``, ``observations`` or the name of a condition."""
        owner = block.partition(".")[0]  # a condition's block is NAME or NAME.PART
        conditions = [condition.name for condition in self._required().conditions]
        return owner if owner in (OBSERVATIONS, *conditions) else "collocation"

    def _sizes(self, blocks: Mapping[str, Residual]) -> dict[str, Tensor]:
        """Absolute residual ``(n,)`` at the points of the equation and of all other blocks."""
        squares: dict[str, Tensor] = {}
        for name, block in blocks.items():
            points = self._points_of(name)
            own = block.values.square().sum(1)
            squares[points] = squares[points] + own if points in squares else own
        return {points: total.sqrt() for points, total in squares.items()}

    def test_step(self, batch: Any, batch_idx: int) -> None:
        if not isinstance(batch, dict):
            super().test_step(batch, batch_idx)
            return
        self._log_blocks("test", batch)  # no solution is known

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        self._log_blocks("val", batch)

    def _log_blocks(self, stage: str, batch: Mapping[str, Tensor]) -> None:
        """Logs the loss, and the mean squared residual of the equation and of all other blocks."""
        blocks, rows = self.residuals(batch), row_count(len(batch["collocation"]))
        terms = {name: block.values.square().mean() for name, block in blocks.items()}
        loss = torch.stack([blocks[name].weight * term for name, term in terms.items()]).sum()
        for name, term in {"loss": loss, **terms}.items():
            self.log(f"{stage}/{name}", term, batch_size=rows, sync_dist=True)

    def _equation(
        self, problem: BoundaryValueProblem, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        found = problem.residuals(self.solved_network(), batch, self._coefficient_columns())
        if not self._finite:  # only once: later, non-finite residuals mean that training diverged
            problem.check_finite(found, batch["collocation"])
            self._finite = True
        return found
