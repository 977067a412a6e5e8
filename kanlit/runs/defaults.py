"""The settings of a run that differ from Lightning's own defaults."""

from __future__ import annotations

from typing import Any

__all__ = ["ADAPTATION_DEFAULTS", "DEFAULT_CLASSES", "TRAINER_DEFAULTS"]

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
