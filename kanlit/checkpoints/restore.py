"""A trained module from its checkpoint alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from kanlit.compat import pop_class_path
from kanlit.errors import ConfigurationError
from kanlit.modules.base import KANModule
from kanlit.scaling import Columns

__all__ = ["restore_module"]


def restore_module(content: Mapping[str, Any], path: Path) -> KANModule:
    """The module that a checkpoint was written of, on the CPU, in its own type, to be evaluated.

    Args:
        content: What :func:`~kanlit.checkpoints.read_checkpoint` has read.
        path: Where from, for messages.

    Raises:
        ConfigurationError: Its class cannot be imported or is not a KANModule, or the weights
            do not fit it.
    """
    settings = dict(content.get("hyper_parameters", {}))
    named = pop_class_path(settings)
    cls = _class_of(content.get("kanlit", {}).get("class_path") or named, path)
    # Settings of the classes under it are among them, too: it takes those that it names.
    taken = inspect.signature(cls).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        settings = {name: value for name, value in settings.items() if name in taken}
    try:
        module = cls(**settings)
        knots = next(t for key, t in content["state_dict"].items() if key.endswith(".knots"))
        if knots.dtype == torch.float64:
            module.double()  # before loading, which would round
        module.load_state_dict(content["state_dict"])
    except (TypeError, RuntimeError) as error:
        raise ConfigurationError(
            f"the weights of {path} do not fit a {cls.__name__} of its settings "
            f"({' '.join(str(error).split())}): give a checkpoint that kanlit fit has written"
        ) from None
    kept = content.get("kanlit", {}).get("columns")
    module.columns = None if kept is None else Columns.from_state_dict(kept)
    return module.eval().requires_grad_(False)


def _class_of(class_path: str | None, path: Path) -> type[KANModule]:
    if class_path is None:
        raise ConfigurationError(
            f"{path} does not say which module it is of (kanlit fit of an older version, or "
            f"another program, wrote it): go on from it with kanlit fit --ckpt_path, which writes "
            f"a new one"
        )
    home, _, name = class_path.rpartition(".")
    try:
        cls = getattr(import_module(home), name)
    except (ImportError, AttributeError, ValueError):
        raise ConfigurationError(
            f"{path} is of {class_path}, which cannot be imported here: run where it can"
        ) from None
    if not (isinstance(cls, type) and issubclass(cls, KANModule)):
        raise ConfigurationError(
            f"{path} is of {class_path}, which is no KANModule: give a checkpoint of one"
        )
    return cls
