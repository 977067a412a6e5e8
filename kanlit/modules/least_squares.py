"""Training steps of optimizers that need residuals instead of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ParallelStrategy

from kanlit.errors import ConfigurationError
from kanlit.optim import Residual

__all__ = ["LeastSquaresStep"]


class LeastSquaresStep:
    """Keeps the residuals of the loss that a training step computes."""

    def __init__(self) -> None:
        self._losses: list[tuple[Any, Mapping[str, Residual]]] | None = None

    @property
    def is_recording(self) -> bool:
        """Whether a training step is running whose residuals are kept."""
        return self._losses is not None

    def record(self, batch: Any, residuals: Mapping[str, Residual]) -> None:
        """Keeps the batch and the residuals of a loss, if a step is running."""
        if self._losses is not None:
            self._losses.append((batch, residuals))

    def closure(
        self,
        module: LightningModule,
        residuals_of: Callable[[Any], Mapping[str, Residual]],
        closure: Callable[[], Any],
    ) -> Callable[[], Mapping[str, Residual]]:
        """A closure that returns the residuals, for the optimizer.

        The first call runs Lightning's ``closure``, so that ``training_step`` runs and its loss
        reaches logs and callbacks, and returns the residuals of that loss.

        Args:
            module: The module that is trained.
            residuals_of: Residuals of a batch, for later calls.
            closure: Lightning's closure.

        Raises:
            ConfigurationError: In the first call, if the training step computes no loss or several.
        """
        strategy = module.trainer.strategy
        batches: list[Any] = []

        def residuals() -> Mapping[str, Residual]:
            if batches:
                with strategy.precision_plugin.train_step_context():
                    return residuals_of(batches[0])
            # The optimizer sums over the ranks itself, so DDP must not synchronize gradients.
            alone: AbstractContextManager[None] = nullcontext()
            if isinstance(strategy, ParallelStrategy):
                alone = strategy.block_backward_sync()
            self._losses = []
            try:
                with alone:
                    closure()
                if len(self._losses) != 1:
                    raise ConfigurationError(
                        f"training_step of {type(module).__name__} must call self.loss(batch) "
                        f"exactly once when the optimizer needs residuals"
                    )
                ((batch, found),) = self._losses
            finally:
                self._losses = None
            batches.append(batch)
            return found

        return residuals
