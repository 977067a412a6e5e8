"""Classification: a KAN learns the class probabilities, which are calibrated by one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
)

from kanlit.errors import ConfigurationError
from kanlit.modules.base import KANModule, Residual
from kanlit.modules.ranks import block_weights, row_count
from kanlit.scaling import Standardization

__all__ = ["ClassificationModule", "best_temperature"]

_SPREAD = 0.2  # prior standard deviation of log T, which bounds it on few or separable rows


class ClassificationModule(KANModule):
    r"""Learns the class of x by cross-entropy.

    .. math:: L = -\frac{1}{n} \sum_j \log p_{y_j}(x_j), \qquad
              p(x) = \mathrm{softmax}(f(z) / T), \quad z = (x - \mu_x)/\sigma_x

    The network f returns one logit per class. The temperature T is 1 in training;
    :class:`~kanlit.callbacks.Calibrate` sets it on the validation rows. The means and standard
    deviations of the inputs come from the data module if it standardizes its columns, and are saved
    in the checkpoint; otherwise they are 0 and 1. Batches are ``(x, y)`` with x ``(n, in)`` and y
    either one-hot ``(n, classes)`` or class indices ``(n,)`` of dtype int64. Validation logs
    ``val/loss`` and ``val/accuracy``; testing logs ``test/loss``, ``test/accuracy``, ``test/f1``
    (macro average) and ``test/calibration_error`` (expected calibration error, 15 bins).
    Predictions are probabilities.

    Args:
        out_features: Number of classes, at least 2; set by the data module.
        **kwargs: The other arguments are those of :class:`KANModule`; LevenbergMarquardt is not
            available.

    Raises:
        ConfigurationError: Fewer than two classes; data without classes; an optimizer that needs
            residuals.

    Source: calibration error of Naeini et al., AAAI (2015).
    """

    validation_metrics = ("val/loss", "val/accuracy")

    input_mean: Tensor
    input_std: Tensor
    temperature: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (16,),
        **kwargs: Any,
    ) -> None:
        if out_features < 2:
            raise ConfigurationError(
                f"ClassificationModule needs at least 2 classes, got {out_features} output: use "
                f"data with classes, such as ClassTableData, or set model to RegressionModule for "
                f"numeric targets"
            )
        super().__init__(in_features, out_features, hidden=hidden, **kwargs)
        self.register_buffer("input_mean", torch.zeros(in_features))
        self.register_buffer("input_std", torch.ones(in_features))
        self.register_buffer("temperature", torch.ones(()))
        self.val_accuracy = MulticlassAccuracy(out_features, average="micro")
        self.test_metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(out_features, average="micro"),
                "f1": MulticlassF1Score(out_features, average="macro"),
                "calibration_error": MulticlassCalibrationError(out_features),
            },
            prefix="test/",
            compute_groups=False,
        )

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        scales = getattr(data, "standardization", None)
        # Only kanlit's own data modules declare whether they have classes.
        if hasattr(data, "problem") or (scales is not None and not hasattr(data, "classes")):
            raise ConfigurationError(
                f"ClassificationModule needs data with classes, such as ClassTableData, but "
                f"{type(data).__name__} has none: for numeric targets, set model to "
                f"RegressionModule"
            )
        super().setup(stage)
        # Only when training starts: in other stages the scales come from the checkpoint.
        known = scales() if stage == "fit" and scales is not None else None
        if known is not None:
            self.input_mean.copy_(known.input_mean)
            self.input_std.copy_(known.input_std)

    def scales(self) -> Standardization:
        """Those of the logits."""
        ones = torch.ones(self.network.widths[-1]).to(self.temperature)
        return Standardization(self.input_mean, self.input_std, 0 * ones, ones / self.temperature)

    def network_inputs(self, x: Tensor) -> Tensor:
        return (x - self.input_mean) / self.input_std

    def user_inputs(self, z: Tensor) -> Tensor:
        return z * self.input_std + self.input_mean

    def adaptation_inputs(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.network_inputs(batch[0])

    def logits(self, x: Tensor) -> Tensor:
        """f(z) / T ``(n, classes)`` of x ``(n, in)`` in the user's units."""
        logits: Tensor = self.network(self.network_inputs(x))
        return logits / self.temperature

    def best_temperature(self, logits: Tensor, y: Tensor) -> float:
        """The factor of T that is best for validation rows.

        Args:
            logits: :meth:`logits` of the rows ``(n, classes)``.
            y: Their targets, one-hot or indices.
        """
        return best_temperature(logits, _numbers(y))

    def on_train_start(self) -> None:
        self.temperature.fill_(1.0)  # that of a resumed run is not of the weights to come

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities ``(n, classes)`` of x ``(n, in)`` in the user's units."""
        return self.logits(x).softmax(1)

    def residuals(self, batch: Any) -> dict[str, Residual]:
        """Not available: cross-entropy is not a sum of squares.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "cross-entropy has no residuals, which a least-squares optimizer needs: use an "
            "optimizer that minimizes a loss, such as torch.optim.Adam or torch.optim.LBFGS"
        )

    def sample_losses(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of each sample, ``(n,)``."""
        x, y = batch
        return F.cross_entropy(self.logits(x), y, reduction="none")

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean cross-entropy of the samples."""
        losses = self.sample_losses(batch)
        mean = losses.mean()
        return mean * block_weights([len(losses)], mean)[0] if self._uneven else mean

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Logs the metrics and returns the logits."""
        x, y = batch
        logits = self.logits(x)
        self.log(
            "val/loss", F.cross_entropy(logits, y), batch_size=row_count(len(x)), sync_dist=True
        )
        self.val_accuracy.update(logits, _numbers(y))
        self.log("val/accuracy", self.val_accuracy, prog_bar=True, batch_size=len(x))
        return logits

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self.logits(x)
        self.log(
            "test/loss", F.cross_entropy(logits, y), batch_size=row_count(len(x)), sync_dist=True
        )
        self.test_metrics.update(logits.softmax(1), _numbers(y))
        self.log_dict(self.test_metrics, batch_size=len(x))

    def configure_optimizers(self) -> Any:
        found = super().configure_optimizers()
        (optimizer,) = found[0] if isinstance(found, tuple) else (found,)
        if getattr(optimizer, "needs_residuals", False):
            raise ConfigurationError(
                f"{type(optimizer).__name__} needs squared residuals, which cross-entropy does not "
                f"have: use torch.optim.Adam or torch.optim.LBFGS"
            )
        return found


def _numbers(y: Tensor) -> Tensor:
    """Class indices ``(n,)`` of targets that are one-hot ``(n, classes)`` or already indices."""
    return y.argmax(1) if y.ndim == 2 else y


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""The temperature T with which softmax(f / T) has the most likely classes.

    .. math:: T = \arg\min_T \; -\sum_j \log \mathrm{softmax}(f(x_j) / T)_{y_j}
                  + \frac{(\log T)^2}{2 s^2}

    It leaves the likeliest class unchanged. The prior, s = 0.2, keeps T finite and above 0 if all
    rows are classified correctly.

    Args:
        logits: f ``(n, classes)`` on rows that were not trained on.
        labels: Class indices ``(n,)``.

    Source: Guo et al., On calibration of modern neural networks, ICML (2017).
    """
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=50, line_search_fn="strong_wolfe")
    fixed = logits.detach().double()

    def closure() -> Tensor:
        optimizer.zero_grad()
        likelihood = F.cross_entropy(fixed * torch.exp(-log_t), labels, reduction="sum")
        total = likelihood + log_t.square() / (2 * _SPREAD**2)
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(closure)
    found = math.exp(float(log_t.detach()))
    return found if math.isfinite(found) else 1.0
