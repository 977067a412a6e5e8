"""Makes a network smaller while it trains, or when it has been trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.adaptation.optimizer_state import retain_optimizer_state
from kanlit.callbacks.distributed import share, unwrapped
from kanlit.callbacks.notices import now, refuse_averaging, tell, warn
from kanlit.callbacks.training_samples import TrainingSamples, network_of
from kanlit.errors import ConfigurationError
from kanlit.nn import Kept, PruningReport, check_prunable, edge_importance, prune, select
from kanlit.nn.pruning import check_threshold

__all__ = ["PruningCallback"]


class PruningCallback(Callback):
    r"""Takes nodes and edges out that the outputs of a KAN hardly depend on.

    The importance of an edge is the share of its standard deviation over the training samples in
    what its node has together, that of a node the sum over its outgoing edges
    (:func:`kanlit.nn.edge_importance`). What lies under a threshold goes; its mean output goes into
    the bias of the node it led to. Widths shrink with the nodes, which is what makes steps faster.
    An edge that goes while its nodes stay is held at zero and costs what it did. Inputs and
    outputs of the network stay; an input that has lost all its edges is named in the log.

    Optimizer, scheduler, grids, checkpoints and resumed runs go on as they do when grids are
    extended: moments of what stays are kept, L-BFGS starts anew. Each pruning is one line in the
    log; other callbacks that have a method ``on_pruning(trainer, module, report)`` are told, and
    before it those that have ``before_pruning(trainer, module)``. Sparsity in the loss
    (``model.sparsity_l1``, ``model.sparsity_entropy``) sorts the nodes beforehand.

    Args:
        epochs: Before which epochs to prune, such as [500, 1000]; null is once, at the end of
            training.
        node_threshold: A hidden node goes if its importance is at most this share of the greatest
            in its layer; at least 0, which takes what has none at all, and under 1.
        edge_threshold: Likewise for an edge.
        max_samples: So many training samples at most are used.
        max_loss_growth: A pruning that multiplies the training loss (without sparsity) by more
            than this is undone whole, with a warning; above 1.
        keep_sparsity: Whether the loss has its sparsity term after the last of ``epochs``, too; it
            has done its work then, and keeps the network from fitting as well as it can.

    Attributes:
        report: What the latest pruning did; ``None`` before one.
        undone: How many were undone.

    Raises:
        ConfigurationError: A setting out of its range; at the start of training, a network that
            is no :class:`~kanlit.KAN`, an epoch beyond the run.
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
                f"epochs must be at least 1, one or more, got {list(epochs)}: an untrained network "
                f"has nothing to prune; null prunes at the end"
            )
        check_threshold("node_threshold", node_threshold)
        check_threshold("edge_threshold", edge_threshold)
        if max_samples < 2:
            raise ConfigurationError(f"max_samples must be at least 2, got {max_samples}")
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
        # Before a checkpoint is loaded. A trainer that has stepped already goes on.
        if stage == "fit" and trainer.global_step == 0:
            self.report, self.undone = None, 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check_prunable(network_of(pl_module))
        refuse_averaging(trainer, "weights of nodes that pruning takes out")
        total = trainer.max_epochs
        if self.epochs and total is not None and 0 <= total <= self.epochs[-1]:
            raise ConfigurationError(
                f"epochs of PruningCallback name {self.epochs[-1]}, but max_epochs is {total}: "
                f"raise --trainer.max_epochs or lower it; null prunes at the end"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epochs and trainer.current_epoch in self.epochs:
            self.prune(trainer, pl_module)
        over = self.epochs and trainer.current_epoch >= self.epochs[-1]
        end_sparsity = getattr(pl_module, "end_sparsity", None)
        if over and not self.keep_sparsity and end_sparsity is not None:
            end_sparsity()  # by the epoch alone: a resumed run does the same

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epochs is None:
            self.prune(trainer, pl_module)

    def prune(self, trainer: Trainer, pl_module: LightningModule) -> PruningReport | None:
        """Prunes the module's network now; ``None`` if that hurt and was undone.

        Args:
            trainer: Its training data are the samples, its optimizers follow.
            pl_module: The module.
        """
        tell(trainer, pl_module, "before_pruning")
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
                    _shared(trainer, kept),
                    loss=samples.loss(),
                    max_loss_growth=self.max_loss_growth,
                )
                share(trainer, [parameter.detach() for parameter in network.parameters()])
        except ValueError as error:
            self.undone += 1
            warn(
                f"pruning at {now(trainer)} was undone, training goes on unpruned: {error}",
                __file__,
            )
            _log(trainer, {"pruning/undone": float(self.undone)})
            return None
        for optimizer in trainer.optimizers:
            retain_optimizer_state(optimizer, layers, report.kept)
        self.report = report
        pl_module.print(_line(trainer, report))
        _log(trainer, _scalars(report))
        tell(trainer, pl_module, "on_pruning", report)
        return report

    def state_dict(self) -> dict[str, Any]:
        return {"undone": self.undone}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.undone = state_dict["undone"]


def _shared(trainer: Trainer, kept: Sequence[Kept]) -> list[Kept]:
    """What rank 0 keeps: of two importances near a threshold ranks may see each its own."""
    numbers = [{k: mask.to(torch.uint8) for k, mask in vars(part).items()} for part in kept]
    share(trainer, [mask for part in numbers for mask in part.values()])
    return [
        replace(part, **{k: mask.bool() for k, mask in own.items()})
        for part, own in zip(kept, numbers, strict=True)
    ]


def _log(trainer: Trainer, scalars: dict[str, float]) -> None:
    if trainer.is_global_zero:  # not through the module: it takes none in some hooks
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)


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
