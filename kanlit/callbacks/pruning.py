"""Prunes a network during or after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.adaptation.optimizer_state import retain_optimizer_state
from kanlit.callbacks.distributed import broadcast, unwrapped
from kanlit.callbacks.notices import log_scalars, notify, now, refuse_averaging, warn
from kanlit.callbacks.training_samples import TrainingSamples, network_of
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.nn import Kept, PruningReport, check_prunable, edge_importance, prune, select
from kanlit.nn.pruning import check_threshold

__all__ = ["PruningCallback"]


class PruningCallback(Callback):
    r"""Removes nodes and edges of a KAN that its outputs hardly depend on.

    The importance of an edge is the fraction that its standard deviation over the training samples
    contributes to its node; the importance of a node is the sum over its outgoing edges
    (:func:`kanlit.nn.edge_importance`). Nodes and edges below a threshold are removed; their mean
    output is added to the bias of the next node. Removing nodes reduces the widths, which makes
    steps faster. A pruned edge between two kept nodes is masked; it saves no compute. The inputs
    and outputs of the network are kept; the log names inputs that have lost all their edges.

    Optimizer, scheduler, grids, checkpoints and resuming work as for grid extensions: the moments
    of the kept parameters are kept, and L-BFGS is reset. Each pruning logs one line. Other
    callbacks may define the hooks ``before_pruning(trainer, module)`` and
    ``on_pruning(trainer, module, report)``. Sparsity in the loss (``model.sparsity_l1``,
    ``model.sparsity_entropy``) concentrates the function in few nodes before pruning.

    Args:
        epochs: Epochs before which to prune, such as [500, 1000]; null prunes once, at the end of
            training.
        node_threshold: A hidden node is removed if its importance is at most this fraction of the
            largest in its layer; at least 0 (removes nodes of zero importance) and below 1.
        edge_threshold: The same for edges.
        max_samples: Largest number of training samples used to compute the importances.
        max_loss_growth: A pruning that multiplies the training loss (without the sparsity term) by
            more than this factor, above 1, is rolled back with a warning.
        keep_sparsity: Whether the loss keeps its sparsity term after the last of ``epochs``. The
            term is no longer needed then, and it limits how well the network fits.

    Attributes:
        report: Report of the latest pruning; ``None`` before the first.
        undone: Number of prunings that were rolled back.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the network is not
            a :class:`~kanlit.KAN`, or an epoch is beyond the run.
    """

    def __init__(
        self,
        epochs: Sequence[int] | None = None,
        node_threshold: float = 0.03,
        edge_threshold: float = 0.03,
        max_samples: int = 65536,
        max_loss_growth: float = 10.0,
        keep_sparsity: bool = False,
    ) -> None:
        if epochs is not None and (not epochs or min(epochs) < 1):
            raise ConfigurationError(
                f"epochs must be a non-empty list of epochs from 1 on, got {list(epochs)}: use "
                f"null to prune at the end of training"
            )
        check_threshold("node_threshold", node_threshold)
        check_threshold("edge_threshold", edge_threshold)
        check_at_least("max_samples", max_samples, 2)
        if not max_loss_growth > 1:
            raise ConfigurationError(f"max_loss_growth must be above 1, got {max_loss_growth}")
        self.epochs = None if epochs is None else sorted(set(epochs))
        self.node_threshold = node_threshold
        self.edge_threshold = edge_threshold
        self.max_samples = max_samples
        self.max_loss_growth = max_loss_growth
        self.keep_sparsity = keep_sparsity
        self.report: PruningReport | None = None
        self.undone = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Called before a checkpoint is loaded. A trainer that has already stepped continues.
        if stage == "fit" and trainer.global_step == 0:
            self.report, self.undone = None, 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check_prunable(network_of(pl_module))
        refuse_averaging(trainer, "weights of nodes that pruning removes")
        total = trainer.max_epochs
        if self.epochs and total is not None and 0 <= total <= self.epochs[-1]:
            raise ConfigurationError(
                f"epochs of PruningCallback contains {self.epochs[-1]}, but max_epochs is {total}: "
                f"raise trainer.max_epochs, lower the epoch, or use null to prune at the end"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epochs and trainer.current_epoch in self.epochs:
            self.prune(trainer, pl_module)
        over = self.epochs and trainer.current_epoch >= self.epochs[-1]
        end_sparsity = getattr(pl_module, "end_sparsity", None)
        if over and not self.keep_sparsity and end_sparsity is not None:
            end_sparsity()  # depends on the epoch only, so that resuming repeats it

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epochs is None:
            self.prune(trainer, pl_module)

    def prune(self, trainer: Trainer, pl_module: LightningModule) -> PruningReport | None:
        """Prunes the module's network now.

        Args:
            trainer: Provides the training samples and the optimizers.
            pl_module: The module.

        Returns:
            A report; ``None`` if the pruning was rolled back.
        """
        notify(trainer, pl_module, "before_pruning")
        network = network_of(pl_module)
        layers = check_prunable(network)
        samples = TrainingSamples(trainer, pl_module, self.max_samples)
        x = samples.inputs()
        try:
            importances = edge_importance(layers, x)
            kept = select(importances, self.node_threshold, self.edge_threshold)
            with unwrapped(trainer):
                report = prune(
                    network,
                    x,
                    _of_rank_zero(trainer, kept),
                    loss=samples.loss(),
                    max_loss_growth=self.max_loss_growth,
                )
                broadcast(trainer, [parameter.detach() for parameter in network.parameters()])
        except ValueError as error:
            self.undone += 1
            warn(
                f"pruning at {now(trainer)} was rolled back, training continues with the unpruned "
                f"network: {error}",
                __file__,
            )
            log_scalars(trainer, {"pruning/undone": float(self.undone)})
            return None
        for optimizer in trainer.optimizers:
            retain_optimizer_state(optimizer, layers, report.kept)
        self.report = report
        pl_module.print(_line(trainer, report))
        log_scalars(trainer, _scalars(report))
        notify(trainer, pl_module, "on_pruning", report)
        return report

    def state_dict(self) -> dict[str, Any]:
        return {"undone": self.undone}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.undone = state_dict["undone"]


def _of_rank_zero(trainer: Trainer, kept: Sequence[Kept]) -> list[Kept]:
    """The selection of rank 0: near a threshold the ranks may select differently by rounding."""
    numbers = [{k: mask.to(torch.uint8) for k, mask in vars(part).items()} for part in kept]
    broadcast(trainer, [mask for part in numbers for mask in part.values()])
    return [
        replace(part, **{k: mask.bool() for k, mask in own.items()})
        for part, own in zip(kept, numbers, strict=True)
    ]


def _scalars(report: PruningReport) -> dict[str, float]:
    found = {"pruning/edges": float(report.edges), "pruning/nodes": float(sum(report.widths))}
    if report.loss_before is not None and report.loss is not None:
        found |= {"pruning/loss_before": report.loss_before, "pruning/loss": report.loss}
    return found


def _line(trainer: Trainer, report: PruningReport) -> str:
    """One line for the log."""
    widths, edges = list(report.widths), report.edges
    if not report.pruned:
        line = f"nothing to prune, widths {widths}, {edges} edges"
    else:
        line = (
            f"pruned, widths {list(report.widths_before)} -> {widths}, edges "
            f"{report.edges_before} -> {edges}"
        )
    if report.loss_before is None or report.loss is None:
        line += ", loss not measured (the module has no loss(batch))"
    else:
        line += f", loss {report.loss_before:.3e} -> {report.loss:.3e}"
    if report.unused_inputs:
        line += (
            f", inputs without importance: {', '.join(f'x{i + 1}' for i in report.unused_inputs)}"
        )
    return f"epoch {trainer.current_epoch}: {line}, {report.seconds * 1e3:.0f} ms"
