"""Regression as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from kanlit.errors import ConfigurationError
from kanlit.sklearn.data import ArrayData
from kanlit.sklearn.estimator import Array, KANEstimator, _tensor
from kanlit.tables import tidy_name

__all__ = ["KANRegressor"]


class KANRegressor(RegressorMixin, KANEstimator):  # type: ignore[misc]
    """A KAN for regression, trained as by ``kanlit fit`` on a table.

    Inputs and targets are standardized. Part of the rows is for validation; after training, the
    network is refitted on all rows. Nothing is printed, and no file is written without ``folder``.

    Args:
        hidden: Widths of the hidden layers, such as [10]; auto for those that ``kanlit fit``
            chooses.
        grid_size: G, intervals per input feature before the first adaptation; auto likewise.
        spline_order: Degree k of the splines, 1 to 5; auto likewise.
        max_epochs: Largest number of epochs; None for that of ``kanlit fit``.
        validation_fraction: Fraction of the rows for validation, between 0 and 1.
        random_state: Seed, generator or None, as in all of scikit-learn. The default is the seed of
            ``kanlit fit``.
        folder: Root directory of the run, for logs and checkpoints; None writes nothing.
        settings: Other settings of ``kanlit fit`` as nested dictionaries, such as
            ``{"trainer": {"accelerator": "cpu"}}``. They take precedence.

    Attributes:
        hidden_: Widths of the hidden layers.
        grid_size_: G after training.
        network_: The network, in standardized units.
        n_features_in_: Number of inputs.
        feature_names_in_: Names of the inputs, if X was a data frame.

    Example:
        >>> import numpy as np
        >>> from kanlit.sklearn import KANRegressor
        >>> X = np.random.default_rng(0).uniform(-1, 1, (100, 1))
        >>> model = KANRegressor(hidden=[], grid_size=8, max_epochs=20).fit(X, np.sin(3 * X[:, 0]))
        >>> model.score(X, np.sin(3 * X[:, 0])) > 0.999
        True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Trains a network.

        Args:
            X: Inputs ``(n, in)``, an array or a data frame.
            y: Targets ``(n,)`` or ``(n, targets)``.

        Raises:
            ConfigurationError: A parameter or setting is out of range.
        """
        names = _names(y)
        X, y = validate_data(
            self, X, y, dtype=np.float64, y_numeric=True, multi_output=True, ensure_min_samples=2
        )
        self._flat = y.ndim == 1
        targets = _tensor(np.asarray(y, dtype=np.float64)).reshape(len(X), -1)
        data = ArrayData(
            _tensor(X),
            targets,
            self._input_names(X.shape[1]),
            names,
            self.validation_fraction,
            self._seed(),
        )
        return self._train(data)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions, and with ``return_std`` their standard deviations.

        The standard deviation is that of a new target: it contains the noise and the uncertainty of
        the network.

        Args:
            X: Inputs ``(n, in)``.
            return_std: Whether to return both.

        Returns:
            ``(n,)`` or ``(n, targets)``, as y was; with ``return_std``, two such arrays.

        Raises:
            ConfigurationError: The standard deviation is not known, because the settings have
                replaced the default optimizer.
        """
        x = self._inputs(X)
        mean = self._shaped(self._outputs(x).numpy())
        if not return_std:
            return mean
        deviation = self._module.standard_deviation(x)
        if deviation is None:
            raise ConfigurationError(
                "return_std needs the uncertainty of the network, which this training does not "
                "estimate: leave the optimizer and its smoothness at their defaults"
            )
        return mean, self._shaped(deviation.numpy())

    def formula(self) -> Any:
        """A closed formula of each target, fitted to the training rows.

        Returns:
            A sympy expression, or a list of them for several targets.
        """
        return self._formula(None)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = tags.target_tags.multi_output = True
        return tags


def _names(y: Any) -> list[str] | None:
    """Names of the targets of a data frame or series."""
    if hasattr(y, "columns"):
        return [tidy_name(name) for name in y.columns]
    name = getattr(y, "name", None)
    return None if name is None else [tidy_name(name)]
