"""Settings of a run on measured data: the data choose size and smoothness."""

from __future__ import annotations

from typing import Any

from kanlit.runs.recipes.base import Recipe

__all__ = ["SMOOTH"]

_LEAST_GAIN = 1e-11  # of the mean squared error; smaller gains are (3e-6)² of the targets' spread

_SETTINGS: dict[str, Any] = {
    "model": {
        "class_path": "kanlit.RegressionModule",
        "init_args": {
            "hidden": "auto",
            "grid_size": "auto",
            "spline_order": "auto",
            "optimizer": {
                "class_path": "kanlit.LevenbergMarquardt",
                "init_args": {"smoothness": "auto"},
            },
        },
    },
    "adaptation": {"schedule": []},
    "trainer": {
        "max_epochs": 1000,
        "precision": "64-true",
        "check_val_every_n_epoch": 1,
        "log_every_n_steps": 1,
        "callbacks": [
            {
                "class_path": "lightning.pytorch.callbacks.EarlyStopping",
                "init_args": {"monitor": "val/loss", "patience": 10, "min_delta": _LEAST_GAIN},
            },
            {"class_path": "kanlit.KeepBest"},
            {"class_path": "kanlit.Refit"},
        ],
    },
}

_LEAVING = (
    "adaptation",
    "data.batch_size",
    "model.basis",
    "model.lr_scheduler",
    "model.optimizer",
    "model.robust",
    "model.sparsity_entropy",
    "model.sparsity_l1",
    "trainer.limit_val_batches",
    "trainer.overfit_batches",
    "trainer.precision",
)


def _leaves(key: str) -> bool:
    """Whether a setting of the user needs another optimizer or its own grids."""
    return key == "model" or any(key == own or key.startswith(own + ".") for own in _LEAVING)


SMOOTH = Recipe(_leaves, lambda parse, given: _SETTINGS)
