"""Regression: a KAN maps inputs to targets, in the user's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.adaptation import Placement, adapt_grids
from kanlit.adaptation.density import InputDensity
from kanlit.errors import ConfigurationError
from kanlit.metrics import RelativeL2Error, TargetErrors
from kanlit.modules.base import KANModule, Residual
from kanlit.modules.optimizers import create_optimizer
from kanlit.modules.ranks import row_count
from kanlit.modules.robust import pseudo_huber_residual
from kanlit.modules.start import check_start
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt
from kanlit.optim.uncertainty import Uncertainty, output_variances
from kanlit.scaling import Standardization, default_names
from kanlit.selection import SmoothNetwork, select_network, too_large

__all__ = ["RegressionModule"]

_SIZES = ("hidden", "grid_size", "spline_order")
_FIRST_RATE, _LATER_RATE = 1e-2, 1e-3  # of Adam, before and after a choice of the size


class RegressionModule(KANModule):
    r"""Learns y from x by least squares or with a robust loss.

    .. math:: L = \mathrm{mean}\big(\rho(f(z) - t)^2\big), \qquad
              z = (x - \mu_x)/\sigma_x, \quad t = (y - \mu_y)/\sigma_y

    The means and standard deviations come from the data module if it standardizes its columns (as
    for tables), and are saved in the checkpoint, so predictions are in the user's units; otherwise
    they are 0 and 1. ρ(r) is r, or with ``robust`` the residual of the pseudo-Huber loss. Batches
    are ``(x, y)`` with x ``(n, in)`` and y ``(n, out)``.

    Args:
        in_features: Number of inputs; set by the data module.
        out_features: Number of targets; set by the data module.
        hidden: Widths of the hidden layers, such as [10] or [6, 6]; [] for none; auto for the
            widths with the largest marginal likelihood of the training rows.
        grid_size: G, intervals per input feature before the first adaptation, or auto, likewise.
        spline_order: Degree k of the splines, 1 to 5; auto for 3, or 5 if the noise is negligible
            and the marginal likelihood gains. It is 3 if hidden and grid_size are given.
        robust: c, above 0: residuals larger than c times the spread of the training targets (their
            median absolute deviation) enter the loss linearly instead of squared, so that a few
            outliers do not dominate it. Null is plain least squares.
        **kwargs: The other arguments are those of :class:`KANModule`.

    Attributes:
        uncertainty: Covariance of the parameters and variance of the noise, in standardized units;
            None unless the smoothness was chosen by the data, see :meth:`refit`.
        freedom: Effective degrees of freedom, likewise.

    Raises:
        ConfigurationError: ``robust`` is not positive; the data have no targets.
    """

    validation_metrics = ("val/loss", "val/rel_l2")

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor
    target_spread: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] | Literal["auto"] = (10,),
        grid_size: int | Literal["auto"] = 3,
        spline_order: int | Literal["auto"] = 3,
        robust: float | None = None,
        **kwargs: Any,
    ) -> None:
        if robust is not None and not 0 < robust < float("inf"):
            raise ConfigurationError(f"robust must be above 0 or null, got {robust}: try 1.0")
        first = 3 if grid_size == "auto" else grid_size
        widths: Sequence[int] = (10,) if hidden == "auto" else hidden
        order = 3 if spline_order == "auto" else spline_order
        sizes: dict[str, Any] = {"hidden": widths, "grid_size": first, "spline_order": order}
        super().__init__(in_features, out_features, **sizes, **kwargs)
        chosen = spline_order if "auto" in (hidden, grid_size) else order
        self._keep_sizes(hidden, grid_size, chosen)
        self.uncertainty: Uncertainty | None = None
        self.freedom: float | None = None
        self._strengths: tuple[list[Tensor], int] | None = None  # until the optimizer is created
        self.register_buffer("input_mean", torch.zeros(in_features))
        self.register_buffer("input_std", torch.ones(in_features))
        self.register_buffer("target_mean", torch.zeros(out_features))
        self.register_buffer("target_std", torch.ones(out_features))
        self.robust = robust
        if robust is not None:
            self.register_buffer("target_spread", torch.ones(out_features))
        self.val_error = RelativeL2Error(out_features)
        self.target_errors: TargetErrors | None = None

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "problem"):
            raise ConfigurationError(
                f"RegressionModule needs inputs and targets, but {type(data).__name__} has a "
                f"differential equation: set model to PDEModule"
            )
        super().setup(stage)
        # Only when training starts: in other stages the scales come from the checkpoint.
        scales = getattr(data, "standardization", None)
        known = scales() if stage == "fit" and scales is not None else None
        if known is not None:
            for name in ("input_mean", "input_std", "target_mean", "target_std"):
                getattr(self, name).copy_(getattr(known, name))
        if stage == "fit" and self.robust is not None:
            spread = getattr(data, "target_spread", lambda: None)()
            if spread is None:
                raise ConfigurationError(
                    f"robust needs the spread of the training targets, which "
                    f"{type(data).__name__} does not provide: remove robust, or use one of "
                    f"kanlit's data modules"
                )
            self.target_spread.copy_(spread)
        # A resumed run has the sizes of its checkpoint. Not in configure_model, which Lightning
        # calls in a context that makes each torch operation several times slower.
        if "auto" in (self.hparams["hidden"], self.hparams["grid_size"]):
            if stage != "fit":
                raise ConfigurationError(
                    "hidden and grid_size auto are chosen by fit: give a checkpoint"
                )
            if self.trainer.precision == "64-true":
                self.double()  # Lightning casts only later, which would round the weights
            self._select()

    def _select(self) -> None:
        """Replaces the network by one whose size, start and smoothness the data choose."""
        if too_large(0, len(self.input_mean), 0):
            self._keep_sizes([10], 3, self.network.layers[0].spline_order)
            x = self._standardized("train")[0].to(self.input_mean)
            adapt_grids(self.network, x, InputDensity(), placement=Placement(uniform_mix=0.5))
            return
        found: Any = None
        if self.trainer.is_global_zero:
            given = [self.hparams[name] for name in _SIZES]
            hidden, grid_size, order = (None if size == "auto" else size for size in given)
            selected = select_network(
                *self._standardized("train"),
                self._build,
                hidden,
                grid_size,
                order,
                seed=torch.initial_seed() % 2**63,
                report=rank_zero_info,
            )
            fit = selected.fit
            layer = fit.layers[0]
            sizes = list(selected.hidden), layer.grid_size, layer.spline_order
            found = sizes, fit.network.state_dict(), fit.optimizer.strengths(fit.layers)
        sizes, state, self._strengths = self.trainer.strategy.broadcast(found)
        self._keep_sizes(*sizes)
        hidden, grid_size, order = sizes
        network = self._build(hidden, grid_size, order, torch.Generator())
        network.load_state_dict(state)
        self.network = network.to(self.input_mean)

    def _keep_sizes(self, *sizes: Any) -> None:
        self.hparams.update(dict(zip(_SIZES, sizes, strict=True)))

    def _build(
        self, hidden: Sequence[int], grid_size: int, spline_order: int, generator: torch.Generator
    ) -> KAN:
        names = ("outside", "initialization")
        return KAN(
            [len(self.input_mean), *hidden, len(self.target_mean)],
            grid_size=grid_size,
            spline_order=spline_order,
            generator=generator,
            dtype=torch.float64,
            **{name: self.hparams[name] for name in names if name in self.hparams},
        )

    def _standardized(self, *parts: str) -> tuple[Tensor, Tensor]:
        """Rows of the data module in the network's units, float64, on the CPU."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "part_rows"):
            raise ConfigurationError(
                f"hidden and grid_size auto need one of kanlit's data modules, got "
                f"{type(data).__name__}: set them to numbers"
            )
        pairs = [data.part_rows(part) for part in parts]
        x, y = (torch.cat(each).double().cpu() for each in zip(*pairs, strict=True))
        scales = (self.input_mean, self.input_std, self.target_mean, self.target_std)
        mean, std, target_mean, target_std = (each.double().cpu() for each in scales)
        return (x - mean) / std, (y - target_mean) / target_std

    def configure_optimizers(self) -> Any:
        size = self._too_large()
        if size:
            rate = _FIRST_RATE if self._strengths is None else _LATER_RATE
            rank_zero_info(
                f"{size} are too many for least squares: Adam, learning rate {rate:g}, on hidden "
                f"{list(self.hparams['hidden'])}, G = {self.hparams['grid_size']}"
            )
            self._optimizer = lambda parameters: torch.optim.Adam(parameters, lr=rate)
        configured = super().configure_optimizers()
        strengths, self._strengths = self._strengths, None
        if strengths is not None and isinstance(configured, LevenbergMarquardt):
            configured.set_strengths(self.network.layers, *strengths)
        return configured

    def _too_large(self) -> str:
        """What is too large for an optimizer that chooses the smoothness; empty if nothing is."""
        trained = [p for p in self.parameters() if p.requires_grad]
        made, _ = create_optimizer(self._optimizer, None, trained, self.trainer)
        rows = getattr(getattr(self.trainer, "datamodule", None), "part_rows", None)
        if made.param_groups[0].get("smoothness") != "auto" or rows is None:
            return ""
        return too_large(
            len(rows("train")[0]), len(self.input_mean), sum(p.numel() for p in trained)
        )

    def refit(self, optimizer: LevenbergMarquardt, steps: int, most_rows: int) -> int:
        """Trains on the training and validation rows together, with the strengths of ``optimizer``.

        Sets :attr:`uncertainty` and :attr:`freedom`. The weights stay if the evidence of all rows
        does not grow.

        Returns:
            The number of rows; 0 if they are more than ``most_rows``, and nothing was done.
        """
        x, y = self._standardized("train", "validate")
        enough = len(x) <= most_rows
        if not enough:
            x, y = self._standardized("train")
        fit = SmoothNetwork(self.network, x, y, optimizer).on(x, y)
        state = deepcopy(fit.network.state_dict())
        first = fit.train(1).optimizer.found
        found = fit.train(steps - 1).optimizer.found if enough else first
        assert first is not None
        assert found is not None
        if enough and found.evidence > first.evidence:
            state = fit.network.state_dict()
        else:
            found = first
        known = Uncertainty(found.covariance, found.noise), found.freedom
        state, (uncertainty, freedom) = self.trainer.strategy.broadcast((state, known))
        if bool(uncertainty.covariance.isfinite().all()):
            self.uncertainty, self.freedom = uncertainty, freedom
        if not enough:
            return 0
        self.network.load_state_dict(state)
        return len(x)

    def standard_deviation(self, x: Tensor) -> Tensor | None:
        """Contains the noise and the uncertainty of the network, in the user's units.

        None without :attr:`uncertainty`. See :meth:`KANModule.standard_deviation`.
        """
        if self.uncertainty is None:
            return None
        covariance, noise = self.uncertainty
        variances = output_variances(self.network, self.network_inputs(x), covariance)
        return (variances + noise).sqrt().to(x) * self.target_std

    def on_train_start(self) -> None:
        # Those of a resumed run are not of the weights to come.
        self.uncertainty = self.freedom = None

    @torch.no_grad()
    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        if self.trainer.global_step == 0 and batch_idx == 0:
            check_start(self._errors(batch), (batch[1] - self.target_mean) / self.target_std)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.uncertainty is not None:
            checkpoint["kanlit"]["uncertainty"] = self.uncertainty._asdict()

    def restore_content(self, checkpoint: Mapping[str, Any]) -> None:
        kept = checkpoint.get("kanlit", {}).get("uncertainty")
        self.uncertainty = None if kept is None else Uncertainty(**kept)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        # A resumed run may turn robust on or off.
        state = dict(checkpoint["state_dict"])
        if self.robust is None:
            state.pop("target_spread", None)
        else:
            state.setdefault("target_spread", self.target_spread)
        checkpoint["state_dict"] = state

    def scales(self) -> Standardization:
        return Standardization(self.input_mean, self.input_std, self.target_mean, self.target_std)

    def network_inputs(self, x: Tensor) -> Tensor:
        return (x - self.input_mean) / self.input_std

    def user_inputs(self, z: Tensor) -> Tensor:
        return z * self.input_std + self.input_mean

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.network_inputs(x)) * self.target_std + self.target_mean

    def adaptation_inputs(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.network_inputs(batch[0])

    def residuals(self, batch: tuple[Tensor, Tensor]) -> dict[str, Residual]:
        return {"data": Residual(self._counted(self._errors(batch)))}

    def _errors(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """f(z) - t ``(n, out)``."""
        x, y = batch
        target = (y - self.target_mean) / self.target_std
        return self.network(self.network_inputs(x)) - target

    def _counted(self, errors: Tensor) -> Tensor:
        """ρ of the errors."""
        if self.robust is None:
            return errors
        return pseudo_huber_residual(errors, self.robust * self.target_spread / self.target_std)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        errors = self._errors(batch)
        loss = self._counted(errors).square().mean()
        self.log("val/loss", loss, batch_size=row_count(len(x)), sync_dist=True)
        self.val_error.update(y + errors * self.target_std, y)
        self.log("val/rel_l2", self.val_error, prog_bar=True, batch_size=x.shape[0])

    def on_test_start(self) -> None:
        super().on_test_start()
        columns = self.columns
        names = default_names(1, len(self.target_mean))[1] if columns is None else columns.targets
        self.target_errors = TargetErrors(names).to(self.device)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        found = self(x)
        self.test_error.update(found, y)
        self.log("test/rel_l2", self.test_error, batch_size=len(x))
        assert self.target_errors is not None
        self.target_errors.update(found, y)

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        assert self.target_errors is not None
        errors = self.target_errors.compute()
        self.log_dict({f"test/{name}": e for name, e in errors.items()}, sync_dist=True)
