"""Classification as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule
from kanlit.sklearn.data import ArrayClassData
from kanlit.sklearn.estimator import Array, KANEstimator, _tensor
from kanlit.tables import tidy_name

__all__ = ["KANClassifier"]


class KANClassifier(ClassifierMixin, KANEstimator):  # type: ignore[misc]
    """A KAN for classification, trained as by ``kanlit fit`` on a table with classes.

    Inputs are standardized. Part of the rows, stratified by class, is for validation. Nothing is
    printed, and no file is written without ``folder``.

    The parameters are those of :class:`KANRegressor`.

    Attributes:
        classes_: The classes, sorted.
        hidden_: Widths of the hidden layers.
        grid_size_: G after training.
        network_: The network, in standardized units.
        n_features_in_: Number of inputs.
        feature_names_in_: Names of the inputs, if X was a data frame.

    Example:
        >>> import numpy as np
        >>> from kanlit.sklearn import KANClassifier
        >>> X = np.random.default_rng(0).uniform(-1, 1, (100, 2))
        >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
        >>> model = KANClassifier(hidden=[4], max_epochs=100).fit(X, y)
        >>> model.predict([[0.5, 0.5], [-0.5, 0.5]])
        array(['same', 'other'], dtype='<U5')
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Trains a network.

        Args:
            X: Inputs ``(n, in)``, an array or a data frame.
            y: Classes ``(n,)``, numbers or strings.

        Raises:
            ConfigurationError: A parameter or setting is out of range.
        """
        label = getattr(y, "name", None)
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise ConfigurationError(
                f"y has only one class, {self.classes_[0]!r}: add rows of at least one other class"
            )
        data = ArrayClassData(
            _tensor(X),
            _tensor(numbers).long(),
            self._input_names(X.shape[1]),
            [str(name) for name in self.classes_],
            "class" if label is None else tidy_name(label),
            self.validation_fraction,
            self._seed(),
        )
        return self._train(data)

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row of X ``(n, in)``, ``(n,)``."""
        likeliest = self.predict_proba(X).argmax(1)
        return self.classes_[likeliest]

    def predict_proba(self, X: Any) -> Array:
        """Probabilities ``(n, classes)`` of the classes, in the order of ``classes_``."""
        probabilities: Array = self._outputs(self._inputs(X)).numpy()
        return probabilities

    def formula(self) -> Any:
        """A closed formula of the network's logit of each class, in the order of ``classes_``."""
        assert isinstance(self._module, ClassificationModule)
        return self._formula(self._module.logits)
