"""Settings of a run on classes: stop early, keep the best on validation, calibrate."""

from __future__ import annotations

from typing import Any

from kanlit.runs.recipes.base import Recipe

__all__ = ["CLASSES"]

_SETTINGS: dict[str, Any] = {
    "model": {
        "class_path": "kanlit.ClassificationModule",
        "init_args": {
            "hidden": [16],
            "optimizer": {
                "class_path": "torch.optim.AdamW",
                "init_args": {"lr": 1e-2, "weight_decay": 0.3},
            },
        },
    },
    "adaptation": {"schedule": [3]},  # once, to the range of the inputs
    "trainer": {
        "check_val_every_n_epoch": 5,
        "callbacks": [
            {
                "class_path": "lightning.pytorch.callbacks.EarlyStopping",
                "init_args": {"monitor": "val/loss", "patience": 20},
            },
            {"class_path": "kanlit.KeepBest"},
            {"class_path": "kanlit.Calibrate"},
        ],
    },
}

_LEAVING = (
    "model",
    "model.optimizer",
    "trainer.limit_val_batches",
    "trainer.overfit_batches",
)


def _leaves(key: str) -> bool:
    """Whether a setting of the user takes the place of early stopping or of its optimizer."""
    return key in _LEAVING or key.startswith("model.optimizer.")


CLASSES = Recipe(_leaves, lambda parse, given: _SETTINGS)
