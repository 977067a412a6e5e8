"""Base class of the LightningModules: a KAN, residual blocks, a loss and an optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import Tensor

from kanlit.bases import Basis, BasisName, basis_name
from kanlit.compat import RUNNING_HOOK
from kanlit.errors import ConfigurationError
from kanlit.metrics import RelativeL2Error
from kanlit.modules.finite import check_loss, check_metrics, check_weights
from kanlit.modules.least_squares import LeastSquaresStep
from kanlit.modules.monitors import check_callbacks
from kanlit.modules.optimizers import create_optimizer
from kanlit.modules.ranks import averaged_over_ranks, block_weights, mean_over_ranks, row_count
from kanlit.modules.restorable import RestorableModule
from kanlit.nn import KAN, Initialization, edge_magnitudes, sparsity_penalty
from kanlit.optim import Residual
from kanlit.scaling import Standardization
from kanlit.splines import Outside

__all__ = ["KANModule", "Residual"]


class KANModule(RestorableModule, ABC):
    r"""Trains a KAN on named residual blocks.

    .. math:: L = \sum_b w_b \cdot \mathrm{mean}(r_b^2)

    A subclass defines the residuals; every optimizer and density uses the same blocks. A training
    step adds :meth:`sparsity` if its weights are not zero.

    Args:
        in_features: Number of inputs; set by the data module.
        out_features: Number of outputs; set by the data module.
        hidden: Widths of the hidden layers, such as [10] or [6, 6]; [] for none.
        spline_order: Degree k of the splines, 1 to 5; curvature densities need 2 or more.
        grid_size: G, intervals per input feature before the first adaptation.
        outside: Splines outside their grid: linear (continued with the value and slope at the
            ends) or zero (decay to zero over k exterior intervals, as in arXiv 2601.18672).
        basis: Basis functions of an edge, G+k of them: bspline, radial (Gaussians whose centers and
            widths follow the knots), or, without knots, chebyshev (polynomials over the range of
            the samples) or fourier; or the class path of a subclass of kanlit.bases.Basis.
        initialization: glorot_fine (of arXiv 2601.18672) or plain.
        sparsity_l1: μ₁, at least 0: adds ``μ₁ Σ|φ|₁`` to the training loss, where ``|φ|₁`` is the
            mean absolute output of an edge over the samples or collocation points of the batch;
            this makes unneeded edges small. Not available with LevenbergMarquardt.
        sparsity_entropy: μ₂, at least 0: adds μ₂ times the entropy of each layer's ``|φ|₁`` to the
            training loss; this concentrates the layer's output in few edges.
        optimizer: Optimizer class and its arguments, such as torch.optim.Adam with lr.
        lr_scheduler: Learning-rate scheduler class and its arguments, stepped once per epoch;
            ReduceLROnPlateau, with its monitor, once per validation.

    Raises:
        ConfigurationError: A width, a degree, G or a weight is out of range.
    """

    validation_metrics: tuple[str, ...] = ("val/loss",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (10,),
        spline_order: int = 3,
        grid_size: int = 3,
        outside: Outside = "linear",
        basis: BasisName | type[Basis] = "bspline",
        initialization: Initialization = "glorot_fine",
        sparsity_l1: float = 0.0,
        sparsity_entropy: float = 0.0,
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-2),
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        if any(width < 1 for width in hidden):
            raise ConfigurationError(
                f"hidden widths must be at least 1, got {list(hidden)}: remove such layers"
            )
        weights = {"sparsity_l1": sparsity_l1, "sparsity_entropy": sparsity_entropy}
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ConfigurationError(f"{name} must be at least 0, got {weight}: try 1e-3")
        self.sparsity_l1, self.sparsity_entropy = sparsity_l1, sparsity_entropy
        self.network = KAN(
            [in_features, *hidden, out_features],
            spline_order=spline_order,
            grid_size=grid_size,
            outside=outside,
            basis=basis,
            initialization=initialization,
        )
        # The optimizer is rebuilt from the config, not from a checkpoint: a checkpoint holds
        # tensors and plain Python values only.
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler", "basis"])
        self.hparams["basis"] = basis_name(self.basis_class)
        settings = sorted(self.hparams.items())  # the parser's order differs between processes
        self.hparams.clear()
        self.hparams.update(settings)
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self._uneven = False
        self._checked_batch = -1  # the last batch whose loss was checked to be finite
        self._least_squares = LeastSquaresStep()
        self.test_error = RelativeL2Error(out_features)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == RUNNING_HOOK:
            # Lightning sets this attribute dozens of times per step; torch's own __setattr__
            # searches parameters, buffers and modules each time.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        known = getattr(getattr(self.trainer, "datamodule", None), "training_columns", None)
        if stage == "fit" and known is not None:
            self.columns = known()
        if stage == "fit":
            check_callbacks(self, self.validation_metrics)

    def is_outside(self, x: Tensor) -> Tensor | None:
        """Whether each row ``(n, in)`` is outside the training range; None if it is unknown."""
        return None if self.columns is None else self.columns.is_outside(x)

    @abstractmethod
    def residuals(self, batch: Any) -> dict[str, Residual]:
        """The named residual blocks of a batch."""

    @abstractmethod
    def adaptation_inputs(self, batch: Any) -> Tensor:
        """The network's inputs in a batch ``(n, in)``: the samples used to place knots."""

    def loss(self, batch: Any) -> Tensor:
        """Σ weight · mean square over the blocks."""
        named = self.residuals(batch)
        self._least_squares.record(batch, named)
        blocks = named.values()
        means = torch.stack([block.weight * block.values.square().mean() for block in blocks])
        if self._uneven:
            means = means * block_weights([len(block.values) for block in blocks], means)
        return means.sum()

    def sparsity(self, batch: Any) -> Tensor:
        """Weighted L1 norm and entropy of the edges, :func:`kanlit.nn.sparsity_penalty`.

        The magnitudes are means over the batch's :meth:`adaptation_inputs`; in a training step,
        over those of all ranks.
        """
        x = self.adaptation_inputs(batch)
        magnitudes = edge_magnitudes(self.network.layers, x)
        if self._uneven:
            magnitudes = [mean_over_ranks(own, len(x)) for own in magnitudes]
        return sparsity_penalty(magnitudes, self.sparsity_l1, self.sparsity_entropy)

    def end_sparsity(self) -> None:
        """Removes the sparsity term from the loss of all later training steps."""
        self.sparsity_l1 = self.sparsity_entropy = 0.0

    def sample_losses(self, batch: Any) -> Tensor:
        """Squared residual of each sample of :meth:`adaptation_inputs`, ``(n,)``."""
        first = next(iter(self.residuals(batch).values()))
        return first.values.square().sum(1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, in)`` to ``(n, out)``, in the user's units."""
        return self.network(x)

    def standard_deviation(self, x: Tensor) -> Tensor | None:
        """Standard deviation of a new target at each row of x ``(n, in)``, ``(n, out)``.

        None if it is not known.

        Raises:
            ValueError: What the module knows of it does not fit the network.
        """
        return None

    def estimate_errors(self) -> None:
        """Estimates the standard errors of :attr:`coefficients`, if there are any."""

    def restore_content(self, checkpoint: Mapping[str, Any]) -> None:
        """Restores what a vetted checkpoint has besides weights and settings."""

    def network_inputs(self, x: Tensor) -> Tensor:
        """Maps inputs ``(n, in)`` from the user's units to the network's units."""
        return x

    def user_inputs(self, z: Tensor) -> Tensor:
        """The inverse of :meth:`network_inputs`."""
        return z

    def scales(self) -> Standardization:
        """How inputs and outputs of the network are standardized."""
        return Standardization.identity(self.network.widths[0], self.network.widths[-1])

    def spanning_points(self) -> Tensor:
        """Points ``(m, columns)`` that span the first layer's grids, in the user's units."""
        return self.user_inputs(self.network.layers[0].breakpoints.T)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        # Ranks may differ by one row; the losses are weighted so that their mean over the ranks is
        # the mean over all rows.
        self._uneven = self.trainer.world_size > 1
        sparse = None
        try:
            loss = self.loss(batch)
            if self.sparsity_l1 or self.sparsity_entropy:
                sparse = self.sparsity(batch)
        finally:
            self._uneven = False
        # Logging at every step costs more than a small network's step.
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (self.global_step + 1) % every == 0:
            self.log("train/loss", loss.detach(), prog_bar=True, sync_dist=True)
            if sparse is not None:
                self.log("train/sparsity", sparse.detach(), sync_dist=True)
        return loss if sparse is None else loss + sparse

    def on_before_backward(self, loss: Tensor) -> None:
        # Only the first loss of a step is checked: a line search may try weights whose loss is
        # not finite.
        batch = self.trainer.fit_loop.total_batch_idx
        if batch != self._checked_batch:
            self._checked_batch = batch
            check_loss(self, loss)

    def on_validation_epoch_end(self) -> None:
        check_metrics(self)

    def on_test_start(self) -> None:
        check_weights(self, "there is nothing to test")

    def on_test_epoch_end(self) -> None:
        check_metrics(self)

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        rows = self.adaptation_inputs(batch).shape[0]
        self.log("val/loss", self.loss(batch), batch_size=row_count(rows), sync_dist=True)
        return None

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.test_error.update(self(x), y)
        self.log("test/rel_l2", self.test_error, batch_size=x.shape[0])

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        if optimizer_closure is None:
            pass
        elif getattr(optimizer, "needs_residuals", False):
            optimizer_closure = self._least_squares.closure(self, self.residuals, optimizer_closure)
        elif self.trainer.world_size > 1:
            # A line search depends on the loss, which must be the same on every rank.
            optimizer_closure = averaged_over_ranks(optimizer_closure, self.trainer.world_size)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        # In a least-squares step the optimizer differentiates the residuals itself.
        if not self._least_squares.is_recording:
            super().backward(loss, *args, **kwargs)

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]  # not those of earlier windows
        optimizer, scheduler = create_optimizer(
            self._optimizer, self._lr_scheduler, trained, self.trainer
        )
        if getattr(optimizer, "needs_residuals", False) and (
            self.sparsity_l1 or self.sparsity_entropy
        ):
            raise ConfigurationError(
                f"{type(optimizer).__name__} minimizes squared residuals only, and the sparsity "
                f"term is not one: remove sparsity_l1 and sparsity_entropy, or use "
                f"torch.optim.Adam"
            )
        self._adopt(optimizer, scheduler)
        if scheduler is None:
            return optimizer
        if isinstance(scheduler, ReduceLROnPlateau):
            # Its metric exists only after a validation, so it is stepped only then.
            every = self.trainer.check_val_every_n_epoch or 1
            settings = {"monitor": scheduler.monitor, "frequency": every}
            return [optimizer], [{"scheduler": scheduler, **settings}]
        return [optimizer], [scheduler]
