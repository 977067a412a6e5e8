"""The settings of a run that differ from Lightning's own defaults."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ADAPTATION_DEFAULTS",
    "DEFAULT_CLASSES",
    "SMOOTH_DEFAULTS",
    "TRAINER_DEFAULTS",
    "leaves_smooth",
]

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 2000,
    "devices": 1,
    # An epoch of a full batch is one step of milliseconds; validation takes as long.
    "check_val_every_n_epoch": 100,
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}

# The callback's own defaults, written out so that a config shows them and can change them.
ADAPTATION_DEFAULTS: dict[str, Any] = {
    "adaptation.density": {"class_path": "kanlit.BlendedDensity"},
    "adaptation.schedule": [3, 6, 9, 12],
}

DEFAULT_CLASSES = {
    "adaptation.density": "kanlit.BlendedDensity",
    "model.optimizer": "torch.optim.Adam",
}

# For measured data: the data choose size and smoothness, and the best on validation is kept.
SMOOTH_DEFAULTS: dict[str, Any] = {
    "model": {
        "class_path": "kanlit.RegressionModule",
        "init_args": {
            "hidden": "auto",
            "grid_size": "auto",
            "optimizer": {
                "class_path": "kanlit.LevenbergMarquardt",
                "init_args": {"smoothness": "auto"},
            },
        },
    },
    "adaptation.schedule": [],
    "trainer.max_epochs": 1000,
    "trainer.precision": "64-true",
    "trainer.check_val_every_n_epoch": 1,
    "trainer.callbacks": [
        {
            "class_path": "lightning.pytorch.callbacks.EarlyStopping",
            "init_args": {"monitor": "val/loss", "patience": 10},
        },
        {"class_path": "kanlit.KeepBest"},
        {"class_path": "kanlit.Refit"},
    ],
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


def leaves_smooth(key: str) -> bool:
    """Whether a setting of the user needs another optimizer or its own grids.

    The other defaults then apply as a whole, so that no setting is overridden.
    """
    return key == "model" or any(key == own or key.startswith(own + ".") for own in _LEAVING)
