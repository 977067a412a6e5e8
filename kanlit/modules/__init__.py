"""LightningModules that train KANs."""

from kanlit.modules.base import KANModule, Residual
from kanlit.modules.classification import ClassificationModule
from kanlit.modules.pde import PDEModule
from kanlit.modules.regression import RegressionModule

__all__ = ["ClassificationModule", "KANModule", "PDEModule", "RegressionModule", "Residual"]
