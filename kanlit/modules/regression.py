"""Regression: a KAN maps inputs to targets, in the user's units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.metrics import RelativeL2Error
from kanlit.modules.base import KANModule, Residual
from kanlit.modules.ranks import row_count
from kanlit.modules.robust import pseudo_huber_residual

__all__ = ["RegressionModule"]


class RegressionModule(KANModule):
    r"""Learns y from x by least squares or with a robust loss.

    .. math:: L = \mathrm{mean}\big(\rho(f(z) - t)^2\big), \qquad
              z = (x - \mu_x)/\sigma_x, \quad t = (y - \mu_y)/\sigma_y

    The means and standard deviations come from the data module if it standardizes its columns (as
    for tables), and are saved in the checkpoint, so predictions are in the user's units; otherwise
    they are 0 and 1. ρ(r) is r, or with ``robust`` the residual of the pseudo-Huber loss. Batches
    are ``(x, y)`` with x ``(n, in)`` and y ``(n, out)``.

    Args:
        robust: c, above 0: residuals larger than c times the spread of the training targets (their
            median absolute deviation) enter the loss linearly instead of squared, so that a few
            outliers do not dominate it. Null is plain least squares.
        **kwargs: The other arguments are those of :class:`KANModule`.

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
        robust: float | None = None,
        **kwargs: Any,
    ) -> None:
        if robust is not None and not 0 < robust < float("inf"):
            raise ConfigurationError(f"robust must be above 0 or null, got {robust}: try 1.0")
        super().__init__(in_features, out_features, **kwargs)
        self.register_buffer("input_mean", torch.zeros(in_features))
        self.register_buffer("input_std", torch.ones(in_features))
        self.register_buffer("target_mean", torch.zeros(out_features))
        self.register_buffer("target_std", torch.ones(out_features))
        self.robust = robust
        if robust is not None:
            self.register_buffer("target_spread", torch.ones(out_features))
        self.val_error = RelativeL2Error(out_features)

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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        # A resumed run may turn robust on or off.
        state = dict(checkpoint["state_dict"])
        if self.robust is None:
            state.pop("target_spread", None)
        else:
            state.setdefault("target_spread", self.target_spread)
        checkpoint["state_dict"] = state

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
