"""What the estimators share: training through kanlit's runs, and the trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Literal, Self

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from kanlit.callbacks.run_figures import layer_pictures
from kanlit.checkpoints import read_checkpoint, restore_module
from kanlit.data import TensorDataModule
from kanlit.data.predictions import predict_rows
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole
from kanlit.modules import KANModule
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.isolation import preserved_settings
from kanlit.runs.threads import chosen_threads
from kanlit.scaling import default_names
from kanlit.symbolic import find_formula
from kanlit.tables import tidy_name

__all__ = ["Array", "KANEstimator"]

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_SAMPLES = 2000  # training rows kept for formula()

# Seeds and modes are process-wide, so a process trains one network at a time.
_one_at_a_time = Lock()


class KANEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of the estimators; see :class:`~kanlit.sklearn.KANRegressor`."""

    def __init__(
        self,
        hidden: Sequence[int] | Literal["auto"] = "auto",
        grid_size: int | Literal["auto"] = "auto",
        spline_order: int | Literal["auto"] = "auto",
        max_epochs: int | None = None,
        validation_fraction: float = 0.15,
        random_state: Any = 42,
        folder: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.grid_size = grid_size
        self.spline_order = spline_order
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.folder = folder
        self.settings = settings

    # -- the trained network ------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint, which ``kanlit predict``, ``plot``, ``formula`` and ``export`` read.

        Args:
            path: The file, such as ``model.ckpt``.
        """
        check_is_fitted(self)
        with written_whole(Path(path)) as unfinished:
            unfinished.write_bytes(self._checkpoint)

    def plot(self) -> Figure:
        """The network as a graph, each edge with its function and breakpoints."""
        check_is_fitted(self)
        columns = self._module.columns
        assert columns is not None
        figures = layer_pictures(self.network_.layers, columns.inputs, columns.targets)
        return figures["network"]

    @property
    def network_(self) -> Any:
        """The trained :class:`~kanlit.KAN`, in standardized units."""
        return self._module.network

    def _formula(self, predict: Callable[[Tensor], Tensor] | None) -> Any:
        """The formula of each output, fitted to the targets or to ``predict``."""
        check_is_fitted(self)
        x, y = self._samples
        module: Any = self._module
        columns = module.columns
        targets = y if predict is None else predict(x)
        known = getattr(module, "uncertainty", None)
        noise = known.noise if known is not None and predict is None else 0.0
        with quiet_console():
            found = find_formula(
                module.network, x, targets, module.scales(), columns.inputs, noise=noise
            )
        expressions = [output.expression for output in found.outputs]
        return expressions[0] if len(expressions) == 1 else expressions

    # -- training -----------------------------------------------------------------------------

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _train(self, data: TensorDataModule) -> Self:
        """Trains a network as ``kanlit fit`` does, without output."""
        words = self._words()
        with _one_at_a_time, preserved_settings(), quiet_console():
            assembly = Assembly(words, run=False, records=self.folder is not None, data=data)
            trainer, module = assembly.trainer, assembly.model
            started = assembly.start("fit") if self.folder is not None else None
            try:
                with chosen_threads(trainer, module):
                    trainer.fit(module, data)
            except SystemExit:  # how Lightning ends a run that the user interrupts
                raise KeyboardInterrupt from None
            finally:
                if started is not None:
                    started.discard()
                    started.release()
            with TemporaryDirectory() as folder:
                path = Path(folder) / "network.ckpt"
                trainer.save_checkpoint(path)
                self._checkpoint = path.read_bytes()
        self._restore()
        x, y = data.part_rows("train")
        rows = torch.linspace(0, len(x) - 1, min(len(x), _MOST_SAMPLES)).round().long()
        self._samples = x[rows], y[rows]
        self.hidden_ = list(self.network_.widths[1:-1])
        self.grid_size_ = max(layer.grid_size for layer in self.network_.layers)
        return self

    def _words(self) -> list[str]:
        """Arguments of ``kanlit fit`` for the parameters."""
        settings = _plain(self.settings or {})
        if "data" in settings:
            raise ConfigurationError("settings has data, but they come from X and y: remove it")
        names = ("hidden", "grid_size", "spline_order")
        model = {name: getattr(self, name) for name in names}
        trainer = {"max_epochs": self.max_epochs, "default_root_dir": self.folder}
        config = {
            "model": {name: value for name, value in model.items() if value != "auto"},
            "trainer": {name: value for name, value in trainer.items() if value is not None},
            "seed_everything": self._seed(),
        }
        configs = [yaml.safe_dump(each) for each in (_plain(config), settings) if each]
        quiet = ["--trainer.enable_progress_bar=false"]
        return [*quiet, *(word for text in configs for word in ("--config", text))]

    def _restore(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.ckpt"
            path.write_bytes(self._checkpoint)
            # In float64: predictions for a row do not depend on the other rows.
            self._module: KANModule = restore_module(read_checkpoint(path), path).double()

    def _inputs(self, X: Any) -> Tensor:
        """X as a tensor ``(n, in)``, checked against the training data."""
        check_is_fitted(self)
        return _tensor(validate_data(self, X, reset=False, dtype=np.float64))

    def _outputs(self, x: Tensor) -> Tensor:
        return predict_rows(self._module, x, torch.float64)

    def _input_names(self, features: int) -> list[str]:
        names = getattr(self, "feature_names_in_", default_names(features, 1)[0])
        return [tidy_name(name) for name in names]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_checkpoint")

    # A pickle has the checkpoint, not the module, which refers to functions.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_module", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_checkpoint" in state:
            self._restore()


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values))  # a copy, which may be written to


def _plain(value: Any) -> Any:
    """Numbers, strings, lists and dictionaries that YAML can write."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
