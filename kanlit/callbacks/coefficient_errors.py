"""Standard errors of the unknown coefficients of an equation."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.callbacks.notices import log_scalars
from kanlit.errors import check_at_least
from kanlit.modules import KANModule

__all__ = ["CoefficientErrors"]


class CoefficientErrors(Callback):
    """Estimates the standard errors of unknown coefficients, during training and at its end.

    The values are logged as ``coefficient/NAME`` every epoch, their standard errors as
    ``coefficient/NAME_error``. An estimate takes about as long as a step of Levenberg-Marquardt.
    The command line adds this callback; without unknown coefficients it does nothing.

    Args:
        every: Epochs between two estimates.

    Raises:
        ConfigurationError: ``every`` is below 1.
    """

    def __init__(self, every: int = 50) -> None:
        check_at_least("every", every, 1)
        self.every = every

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, KANModule) or pl_module.coefficients is None:
            return
        if (trainer.current_epoch + 1) % self.every:
            pl_module.coefficients.set_spread(None, "not computed at this epoch")
        else:
            pl_module.estimate_errors()
        scalars: dict[str, float] = {}
        for name, each in pl_module.coefficients.estimates().items():
            scalars[f"coefficient/{name}"] = each.value
            if each.error is not None:
                scalars[f"coefficient/{name}_error"] = each.error
        log_scalars(trainer, scalars)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # After KeepBest has restored its weights, and before the last checkpoint is written.
        if isinstance(pl_module, KANModule):
            pl_module.estimate_errors()
