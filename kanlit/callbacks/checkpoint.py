"""Checkpoints: the best on validation, and the newest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from kanlit.checkpoints import carry_over
from kanlit.compat import mark_epoch_end
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.files import linked

__all__ = ["Checkpoint", "writes_nothing"]


class Checkpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, the best on validation, and ``last.ckpt``, the newest.

    Lightning's own ``save_last`` copies the newest of the best checkpoints. Here ``last.ckpt`` is
    the current state of the run: ``ckpt_path: last`` resumes from it, and after training it
    has the final weights. It exists from the start of training; a resumed run starts with copies
    of the checkpoint that it resumes and of the best one beside it. Files are written atomically.

    Args:
        monitor: Metric that decides which checkpoint is best.
        filename: Name of the best checkpoint, without ``.ckpt``. If it is not ``best``, then
            ``best.ckpt`` is a link to it.
        every_n_epochs: Number of epochs between two saves of ``last.ckpt``, which is also saved at
            the end of training.
        **kwargs: Passed on to Lightning's ModelCheckpoint.

    Raises:
        ConfigurationError: ``every_n_epochs`` is below 1; ``filename`` is ``last``.
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        filename: str = "best",
        every_n_epochs: int = 100,
        **kwargs: Any,
    ) -> None:
        check_at_least("every_n_epochs", every_n_epochs, 1)
        if filename == "last":
            raise ConfigurationError(
                "filename last is reserved for the newest checkpoint: choose another name"
            )
        # Passed by name, so that the command line offers only the other settings.
        super().__init__(
            monitor=monitor,
            filename=filename,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
            **kwargs,
        )
        self.newest_every_n_epochs = every_n_epochs
        self._newest_at = -1
        self._best_step = -1
        self._score_before: Tensor | None = None  # the best before the last validation
        self._validated_at = -1
        # State that Lightning does not save but that a resumed run needs.
        self._metrics: dict[str, Tensor] = {}
        self._within_epoch = False  # ReduceLROnPlateau schedulers have not been stepped yet
        self._resumed = False
        self._has_best = False  # whether best.ckpt exists when a resumed run starts

    @property
    def best_step(self) -> int:
        """Step of the best validation; -1 if there was none.

        Known while ``best.ckpt`` is written, which holds it, too.
        """
        new = self.best_model_score is not self._score_before
        return self._validated_at if new else self._best_step

    @property
    def state_key(self) -> str:
        # Lightning's key contains all settings, and it is computed at every hook of every step.
        return "Checkpoint"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if trainer.precision == "64-true":
            # Lightning loads a checkpoint first and casts the module afterwards, which rounds it.
            pl_module.double()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Called before load_state_dict; in setup Lightning does not know the path yet.
        source, folder = str(trainer.ckpt_path), str(self.dirpath)
        if trainer.state.fn != "fit" or writes_nothing(trainer) or "://" in source + folder:
            return
        if trainer.is_global_zero:
            carry_over(Path(source), Path(folder))
        self._has_best = trainer.strategy.broadcast(Path(folder, "best.ckpt").is_file())

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "best_step": self.best_step,
            "metrics": self._metrics,
            "within_epoch": self._within_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        scores = [state_dict["best_model_score"], *state_dict["metrics"].values()]
        if not all(isinstance(s, Tensor | None) and (s is None or s.ndim == 0) for s in scores):
            raise ConfigurationError(
                "the checkpoint's scores are malformed: use a checkpoint written by kanlit fit"
            )
        # Scores only: a checkpoint must not decide which files are read or removed.
        score = state_dict["best_model_score"]
        if self._has_best and score is not None:
            assert self.dirpath is not None
            path = os.path.join(self.dirpath, "best.ckpt")
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = path
            self.best_k_models = {path: score}
            self._score_before, self._best_step = score, state_dict["best_step"]
        self.current_score = state_dict["current_score"]
        self._metrics = state_dict["metrics"]
        self._within_epoch = state_dict["within_epoch"]
        self._resumed = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if not self._resumed:
            if trainer.ckpt_path is None:
                self._save_newest(trainer)  # so that a run killed early can be resumed
            return
        self._resumed = False
        if self.dirpath is not None and not writes_nothing(trainer):
            self.last_model_path = os.path.join(self.dirpath, "last.ckpt")
        _begin_next_epoch(trainer)
        device = pl_module.device
        trainer.callback_metrics.update({k: v.to(device) for k, v in self._metrics.items()})
        if self._within_epoch:
            _step_plateau_schedulers(trainer, pl_module)
        self._within_epoch = False
        if any(callback.stopped_epoch > 0 for callback in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score_before, self._best_step = self.best_model_score, self.best_step
        self._validated_at = trainer.global_step
        super().on_validation_end(trainer, pl_module)
        new = self.best_model_score is not self._score_before
        if new and trainer.is_global_zero and self.dirpath is not None:
            best = Path(self.best_model_path)
            if best != Path(self.dirpath, "best.ckpt") and best.is_file():
                linked(Path(self.dirpath, "best.ckpt"), best)

    def on_stage(self, trainer: Trainer, pl_module: LightningModule, stages: object) -> None:
        """Called by :class:`~kanlit.callbacks.Stages`: val/loss is now that of another equation."""
        self.best_model_score, self._score_before = None, None
        self.best_k_models, self._best_step = {}, -1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if (trainer.current_epoch + 1) % self.newest_every_n_epochs == 0:
            self._within_epoch = True
            self._save_newest(trainer)
            self._within_epoch = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._newest_at = -1  # another callback may have changed the weights since
        self._save_newest(trainer)

    def _save_newest(self, trainer: Trainer) -> None:
        if (
            self.dirpath is None
            or writes_nothing(trainer)
            or trainer.global_step == self._newest_at
        ):
            return
        self._newest_at = trainer.global_step
        self.last_model_path = os.path.join(self.dirpath, "last.ckpt")
        self._metrics = {k: v.detach().clone() for k, v in trainer.callback_metrics.items()}
        trainer.save_checkpoint(self.last_model_path, self.save_weights_only)


def writes_nothing(trainer: Trainer) -> bool:
    """Whether the run is a ``fast_dev_run`` of Lightning, a trial of a few batches."""
    return bool(getattr(trainer, "fast_dev_run", False))


def _begin_next_epoch(trainer: Trainer) -> None:
    """Makes a run that was saved at the end of an epoch resume with the next epoch.

    If ``max_steps`` is set, or ended the saved run, Lightning treats that epoch as interrupted and
    would train one more batch in it.
    """
    loop = trainer.fit_loop
    if not loop.restarting:
        return
    progress = loop.epoch_progress.current
    whole = loop.epoch_loop.batch_progress.is_last_batch
    if loop.restarted_on_epoch_end or (whole and progress.completed == progress.ready):
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
        mark_epoch_end(loop)


def _step_plateau_schedulers(trainer: Trainer, module: LightningModule) -> None:
    """Steps the ReduceLROnPlateau schedulers for the epoch that was saved.

    Lightning steps them at the very end of an epoch, after the last hook in which a checkpoint
    can be saved, and skips them when a run is resumed.
    """
    for config in trainer.lr_scheduler_configs:
        due = config.interval == "epoch" and trainer.current_epoch % config.frequency == 0
        if config.reduce_on_plateau and due and config.monitor in trainer.callback_metrics:
            metric = trainer.callback_metrics[config.monitor]
            module.lr_scheduler_step(config.scheduler, metric)
