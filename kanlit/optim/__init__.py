"""Least-squares optimization of networks of KAN layers."""

from kanlit.optim.levenberg_marquardt import LevenbergMarquardt
from kanlit.optim.residual import Residual

__all__ = ["LevenbergMarquardt", "Residual"]
