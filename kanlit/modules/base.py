"""Base class of the LightningModules: a KAN, residual blocks, a loss and an optimizer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.bases import Basis, BasisName, basis_name
from kanlit.compat import CLASS_PATH, INSTANTIATOR, RUNNING_HOOK, trainer_of
from kanlit.errors import ConfigurationError
from kanlit.metrics import RelativeL2Error
from kanlit.modules.finite import check_loss, check_metrics, check_weights
from kanlit.modules.least_squares import LeastSquaresStep
from kanlit.modules.monitors import check_callbacks
from kanlit.modules.optimizers import create_optimizer
from kanlit.modules.ranks import averaged_over_ranks, block_weights, mean_over_ranks
from kanlit.modules.resume import forget_best, keep_settings
from kanlit.nn import KAN, Initialization, KANLayer, edge_magnitudes, sparsity_penalty
from kanlit.optim import Residual
from kanlit.optim.resume import adopt, describe
from kanlit.scaling import Columns
from kanlit.splines import Outside

__all__ = ["KANModule", "Residual"]


class KANModule(LightningModule):
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
        try:
            self.network = KAN(
                [in_features, *hidden, out_features],
                spline_order=spline_order,
                grid_size=grid_size,
                outside=outside,
                basis=basis,
                initialization=initialization,
            )
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        # The optimizer is rebuilt from the config, not from a checkpoint: a checkpoint holds
        # tensors and plain Python values only.
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler", "basis"])
        self.hparams["basis"] = basis_name(self.basis_class)
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self.columns: Columns | None = None  # names and training range, from setup or a checkpoint
        self._start: Mapping[str, Any] | None = None
        self._optimized: dict[str, Any] | None = None  # classes and settings, once created
        self._resumed: dict[str, Any] | None = None  # a checkpoint, until the optimizer is created
        self._uneven = False
        self._checked_batch = -1  # the last batch whose loss was checked to be finite
        self._least_squares = LeastSquaresStep()
        self.test_error = RelativeL2Error(out_features)

    @property
    def basis_class(self) -> type[Basis]:
        """The class of the network's basis."""
        first = self.network.layers[0]
        assert isinstance(first, KANLayer)
        return first.basis_class

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

    def start_from(self, checkpoint: Mapping[str, Any]) -> None:
        """Initializes weights, grids and scales from a checkpoint, after the data are set up.

        Args:
            checkpoint: The content returned by :func:`~kanlit.checkpoints.read_checkpoint`.
        """
        self._start = checkpoint

    def configure_model(self) -> None:
        # After setup, which sets the scales from the data, and before the optimizer is created.
        if self._start is not None:
            checkpoint, self._start = dict(self._start), None
            self.on_load_checkpoint(checkpoint)
            self._resumed = None
            self.load_state_dict(checkpoint["state_dict"])

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
        layers = [layer for layer in self.network.layers if isinstance(layer, KANLayer)]
        x = self.adaptation_inputs(batch)
        magnitudes = edge_magnitudes(layers, x)
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

    def network_inputs(self, x: Tensor) -> Tensor:
        """Maps inputs ``(n, in)`` from the user's units to the network's units."""
        return x

    def user_inputs(self, z: Tensor) -> Tensor:
        """The inverse of :meth:`network_inputs`."""
        return z

    def spanning_points(self) -> Tensor:
        """Points ``(m, columns)`` that span the first layer's grids, in the user's units."""
        first = self.network.layers[0]
        assert isinstance(first, KANLayer)
        return self.user_inputs(first.breakpoints.T)

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

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        rows = self.adaptation_inputs(batch).shape[0]
        self.log("val/loss", self.loss(batch), batch_size=rows, sync_dist=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.test_error.update(self(x), y)
        self.log("test/rel_l2", self.test_error, batch_size=x.shape[0])

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().load_state_dict(state_dict, *args, **kwargs)
        except RuntimeError as error:
            raise ConfigurationError(
                f"the weights of a checkpoint do not fit this {type(self).__name__} "
                f"({' '.join(str(error).split())}): use a checkpoint trained with the same settings"
            ) from None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_weights(self, "no checkpoint is written of them")
        # What prediction and export need besides the weights and the hyperparameters.
        cls = type(self)
        settings = checkpoint.get("hyper_parameters", {})
        for name in (CLASS_PATH, INSTANTIATOR):  # only runs of the command line have them
            settings.pop(name, None)
        checkpoint["kanlit"] = {
            "class_path": f"{cls.__module__}.{cls.__qualname__}",
            "columns": None if self.columns is None else self.columns.state_dict(),
            "optimizer": self._optimized,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        was = checkpoint.get("hyper_parameters", {}).get("basis", "bspline")
        if was != self.hparams["basis"]:  # weights of different bases have the same shapes
            raise ConfigurationError(
                f"the checkpoint has the basis {was}, but this model has the basis "
                f"{self.hparams['basis']}: set --model.basis {was}"
            )
        kept = checkpoint.get("kanlit", {}).get("columns")
        columns = None if kept is None else Columns.from_state_dict(kept)
        trainer = trainer_of(self)
        data: Any = getattr(trainer, "datamodule", None)
        if columns is not None and hasattr(data, "input_names"):
            columns.check(data.input_names, data.target_names, data.class_label)
        if self.columns is None:
            self.columns = columns
        if trainer is not None and trainer.state.fn == "fit":
            self._resumed = checkpoint
            callbacks = trainer.callbacks  # type: ignore[attr-defined]
            for line in forget_best(checkpoint, self.hparams, callbacks):
                rank_zero_info(line)
            keep_settings(checkpoint, callbacks)  # only now: it replaces what was monitored
        if trainer is not None and trainer.precision == "64-true":
            self.double()  # Lightning casts only after loading, which would round the weights

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
        optimizer, scheduler = create_optimizer(
            self._optimizer, self._lr_scheduler, self.parameters(), self.trainer
        )
        if getattr(optimizer, "needs_residuals", False) and (
            self.sparsity_l1 or self.sparsity_entropy
        ):
            raise ConfigurationError(
                f"{type(optimizer).__name__} minimizes squared residuals only, and the sparsity "
                f"term is not one: remove sparsity_l1 and sparsity_entropy, or use "
                f"torch.optim.Adam"
            )
        self._optimized = describe(optimizer, scheduler)
        resumed, self._resumed = self._resumed, None
        for line in adopt(resumed, optimizer, scheduler) if resumed else ():
            rank_zero_info(line)
        if scheduler is None:
            return optimizer
        if isinstance(scheduler, ReduceLROnPlateau):
            # Its metric exists only after a validation, so it is stepped only then.
            every = self.trainer.check_val_every_n_epoch or 1
            settings = {"monitor": scheduler.monitor, "frequency": every}
            return [optimizer], [{"scheduler": scheduler, **settings}]
        return [optimizer], [scheduler]
