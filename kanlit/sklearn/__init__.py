"""KANs as estimators of scikit-learn; needs ``pip install 'kanlit[scikit]'``."""

from kanlit.sklearn.classifier import KANClassifier
from kanlit.sklearn.regressor import KANRegressor

__all__ = ["KANClassifier", "KANRegressor"]
