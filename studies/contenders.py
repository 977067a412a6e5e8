"""The networks whose times are compared, all with the same interface.

All are cubic, in float32, with Adam and its default settings, and train on the same points and
targets. Each is set up as its documentation recommends for speed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, util
from itertools import pairwise
from typing import Any, Protocol

__all__ = ["CONTENDERS", "Case", "Contender", "Network"]


@dataclass(frozen=True)
class Case:
    """The size of a problem.

    Attributes:
        widths: Inputs, hidden widths, outputs.
        grid_size: G.
        batch: Points per step.
    """

    widths: tuple[int, ...]
    grid_size: int
    batch: int

    def __str__(self) -> str:
        return f"{list(self.widths)} batch {self.batch} G {self.grid_size}"

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain Python types."""
        return asdict(self) | {"widths": list(self.widths)}

    @property
    def parameters(self) -> int:
        """Parameters of a KAN of this size: G+k coefficients and two scales per edge."""
        edges = sum(a * b for a, b in pairwise(self.widths))
        return edges * (self.grid_size + 5) + sum(self.widths[1:])


class Network(Protocol):
    """A network with data and optimizer."""

    def step(self) -> None:
        """Runs forward, backward and the optimizer to completion."""

    def forward(self) -> None:
        """Runs forward without gradients to completion."""


@dataclass(frozen=True)
class Contender:
    """How a network is built.

    Attributes:
        build: Builds it for a case.
        package: Package that must be installed.
        imports: Modules imported once, before all cases.
        knots: Whether it supports, and gets, non-uniform knots.
        environment: Environment variables of its process.
    """

    build: Callable[[Case], Network]
    package: str
    imports: Sequence[str]
    knots: str
    environment: tuple[tuple[str, str], ...] = ()

    def installed(self) -> bool:
        """Whether its package is installed."""
        return util.find_spec(self.imports[0].partition(".")[0]) is not None

    def version(self) -> str:
        """Version of its package."""
        return metadata.version(self.package)


class TorchNetwork:
    """A torch module with Adam on a smooth function."""

    def __init__(self, case: Case, module: Any, settings: dict[str, Any] | None = None) -> None:
        import torch

        self.x = 2 * torch.rand(case.batch, case.widths[0]) - 1
        self.target = torch.sin(torch.pi * self.x[:, :1]).expand(-1, case.widths[-1]).contiguous()
        self.module, self.settings = module, settings or {}
        self.optimizer = torch.optim.Adam(module.parameters())

    def step(self) -> None:
        """See :class:`Network`."""
        self.optimizer.zero_grad()
        (self.module(self.x, **self.settings) - self.target).square().mean().backward()
        self.optimizer.step()

    def forward(self) -> None:
        """See :class:`Network`."""
        import torch

        with torch.no_grad():
            self.module(self.x, **self.settings)


def _network(case: Case) -> Any:
    """kanlit's network with non-uniform grids: widths differ by up to a factor of three."""
    import torch

    from kanlit.nn import KAN

    torch.manual_seed(0)
    network = KAN(case.widths, grid_size=case.grid_size)
    for inputs, layer in zip(case.widths, network.layers, strict=False):
        widths = 0.5 + torch.rand(inputs, case.grid_size)
        ends = torch.cat([torch.zeros(inputs, 1), widths.cumsum(1)], dim=1)
        breakpoints = 2 * ends / ends[:, -1:] - 1
        layer.set_grid(layer.knots_for(breakpoints), layer.coefficients.detach())
    return network


def _kanlit(case: Case) -> Network:
    return TorchNetwork(case, _network(case))


def _dense(case: Case) -> Network:
    from dense_recursion import DenseKAN

    knots = [layer.knots for layer in _network(case).layers]
    return TorchNetwork(case, DenseKAN(case.widths, knots))


def _inkan(case: Case) -> Network:
    import inkan

    return TorchNetwork(case, inkan.KANNetwork(list(case.widths), grid_size=case.grid_size))


def _pykan(case: Case) -> Network:
    import kan

    settings = {"symbolic_enabled": False, "save_act": False, "auto_save": False}
    network = kan.KAN(width=list(case.widths), grid=case.grid_size, k=3, **settings)
    return TorchNetwork(case, network)


def _kanx(case: Case) -> Network:
    from kanx.torch import KAN

    return TorchNetwork(case, KAN(list(case.widths), grid_size=case.grid_size))


def _mlp(case: Case) -> Network:
    """An MLP of the same depth, with at least one hidden layer, and number of parameters."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    depth = max(len(case.widths) - 2, 1)

    def widths(hidden: int) -> list[int]:
        return [case.widths[0], *depth * [hidden], case.widths[-1]]

    def count(hidden: int) -> int:
        return sum((a + 1) * b for a, b in pairwise(widths(hidden)))

    hidden = 1
    while count(hidden + 1) <= case.parameters:
        hidden += 1
    layers: list[nn.Module] = []
    for a, b in pairwise(widths(hidden)):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return TorchNetwork(case, nn.Sequential(*layers[:-1]))


class JaxNetwork:
    """A jitted step of jaxKAN's network with optax's Adam."""

    def __init__(self, case: Case) -> None:
        import jax
        import optax
        from flax import nnx
        from jax import numpy as jnp
        from jaxkan.models.KAN import KAN

        settings = {"k": 3, "G": case.grid_size}
        self.model = KAN(list(case.widths), layer_type="spline", required_parameters=settings)
        self.optimizer = nnx.Optimizer(self.model, optax.adam(1e-3), wrt=nnx.Param)
        key = jax.random.key(0)
        x = jax.random.uniform(key, (case.batch, case.widths[0]), minval=-1.0, maxval=1.0)
        target = jnp.tile(jnp.sin(jnp.pi * x[:, :1]), (1, case.widths[-1]))

        @nnx.jit
        def step(model: Any, optimizer: Any) -> Any:
            loss, gradients = nnx.value_and_grad(lambda m: ((m(x) - target) ** 2).mean())(model)
            optimizer.update(model, gradients)
            return loss

        self._step = nnx.cached_partial(step, self.model, self.optimizer)
        self._forward = nnx.cached_partial(nnx.jit(lambda model: model(x)), self.model)

    def step(self) -> None:
        """See :class:`Network`."""
        self._step().block_until_ready()

    def forward(self) -> None:
        """See :class:`Network`."""
        self._forward().block_until_ready()


_ONE_THREAD = (("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false"), ("JAX_PLATFORMS", "cpu"))
_KANLIT = ("kanlit.nn", "kanlit.kernel")

# Non-uniform knots are slower, because the interval of a point has to be searched for.
CONTENDERS = {
    "kanlit": Contender(_kanlit, "kanlit", _KANLIT, "uneven", (("KANLIT_KERNEL", "1"),)),
    "kanlit, plain torch": Contender(
        _kanlit, "kanlit", _KANLIT, "uneven", (("KANLIT_KERNEL", "0"),)
    ),
    "dense recursion": Contender(_dense, "kanlit", (*_KANLIT, "dense_recursion"), "uneven"),
    "inkan": Contender(_inkan, "inkan", ("inkan",), "uniform"),
    "pykan": Contender(_pykan, "pykan", ("kan",), "per feature"),
    "jaxKAN": Contender(
        lambda case: JaxNetwork(case), "jaxkan", ("jaxkan.models.KAN", "optax"), "per feature",
        _ONE_THREAD,
    ),
    "kanx": Contender(
        _kanx, "kanx", ("kanx.torch",), "uniform", (("TF_CPP_MIN_LOG_LEVEL", "3"),)
    ),
    "MLP": Contender(_mlp, "torch", ("torch",), "none"),
}  # fmt: skip


def one_core() -> None:
    """Restricts this process to one core, so that no framework can use several threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
