"""Networks that the tests of densities share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kanlit.nn import KAN, KANLayer


class Residual(nn.Module):
    """Not a KAN, but it holds KAN layers: two outputs, one with a skip connection."""

    def __init__(self, n_in: int = 2, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.lift = nn.Linear(n_in, 3, dtype=dtype)
        self.first = KANLayer(3, 3, grid_size=4, dtype=dtype)
        self.last = KANLayer(3, 2, grid_size=3, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.lift(x))
        return self.last(z + self.first(z))


def _kan(dtype: torch.dtype = torch.float64, degree: int = 3) -> KAN:
    generator = torch.Generator().manual_seed(1)
    return KAN([2, 4, 2], grid_size=5, spline_order=degree, dtype=dtype, generator=generator)


def _residual(dtype: torch.dtype = torch.float64) -> Residual:
    return Residual(dtype=dtype)


@pytest.fixture
def make_kan() -> Callable[..., KAN]:
    """Makes a small KAN of a type and a degree, always the same."""
    return _kan


@pytest.fixture
def make_residual() -> Callable[..., nn.Module]:
    """Makes a module of one's own that holds KAN layers."""
    return _residual


@pytest.fixture(params=[_kan, _residual], ids=["KAN", "residual"])
def network(request: pytest.FixtureRequest) -> Callable[..., nn.Module]:
    """Makes, in turn, a KAN and a module of one's own, of a type."""
    return request.param
