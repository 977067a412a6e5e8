"""What a checkpoint holds of a module besides its weights, and how a module takes it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info

from kanlit.bases import Basis
from kanlit.compat import CLASS_PATH, INSTANTIATOR, trainer_of
from kanlit.errors import ConfigurationError
from kanlit.modules.coefficients import Coefficients
from kanlit.modules.finite import check_weights
from kanlit.modules.resume import forget_best, keep_settings
from kanlit.nn import KAN
from kanlit.optim.resume import adopt, describe
from kanlit.scaling import Columns

__all__ = ["RestorableModule"]


class RestorableModule(LightningModule):
    """A module with a KAN that is saved with its columns and optimizer, and restored with them.

    Attributes:
        network: The network.
        columns: Names and training range of the columns, from ``setup`` or a checkpoint.
        coefficients: Parameters for the unknown coefficients of an equation; None without any.
    """

    network: KAN

    def __init__(self) -> None:
        super().__init__()
        self.columns: Columns | None = None
        self.coefficients: Coefficients | None = None
        self._start: Mapping[str, Any] | None = None
        self._optimized: dict[str, Any] | None = None  # classes and settings, once created
        self._resumed: dict[str, Any] | None = None  # a checkpoint, until the optimizer is created

    @property
    def basis_class(self) -> type[Basis]:
        """The class of the network's basis."""
        return self.network.layers[0].basis_class

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
                f"{self.hparams['basis']}: set model.basis to {was}"
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
        elif trainer is not None and isinstance(checkpoint.get("callbacks"), dict):
            # An evaluation needs nothing that the callbacks of training remember, and may have
            # others; those of the user may want theirs.
            every = trainer.callbacks  # type: ignore[attr-defined]
            users = {c.state_key for c in every if not type(c).__module__.startswith("kanlit.")}
            states = checkpoint["callbacks"].items()
            checkpoint["callbacks"] = {key: state for key, state in states if key in users}
        if trainer is not None and trainer.precision == "64-true":
            self.double()  # Lightning casts only after loading, which would round the weights

    def _adopt(self, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        """Records a new optimizer, which takes over the settings of a resumed checkpoint."""
        self._optimized = describe(optimizer, scheduler)
        resumed, self._resumed = self._resumed, None
        for line in adopt(resumed, optimizer, scheduler) if resumed else ():
            rank_zero_info(line)
