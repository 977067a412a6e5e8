"""Values with their derivatives, carried through ordinary functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor

from kanlit.chain_rule import Along, chain_factors, closure, product_rule
from kanlit.errors import ConfigurationError
from kanlit.nn.elementary import ELEMENTARY, Derivatives, power

__all__ = ["Jet"]


class Jet:
    r"""A function of some variables at n points: its value and partial derivatives.

    Arithmetic, elementary functions of torch, indexing and ``torch.cat`` act on a jet as on its
    value, and carry all derivatives along by the product and chain rule,

    .. math:: \partial_\alpha f(x) = \sum_\pi f^{(|\pi|)}(x) \prod_{B \in \pi} x_B,

    with the set partitions π of α. The derivatives are exact, and differentiable by autograd.

    Args:
        streams: Tensors ``(n, columns)`` by multi-index, see :mod:`kanlit.chain_rule`; ``()``
            is the value. A derivative that is absent is zero.
        alongs: All multi-indices that are carried, as :func:`kanlit.chain_rule.closure` orders
            them.

    Example:
        >>> x = Jet.variables(torch.tensor([[0.5, 2.0]]), [(0, 1)])
        >>> y = torch.exp(x[:, :1]) * x[:, 1:] ** 3
        >>> y.stream((0, 1))
        tensor([[19.7847]])
    """

    __array_ufunc__ = None  # so that numpy's numbers leave arithmetic to this class

    def __init__(self, streams: Mapping[Along, Tensor], alongs: Sequence[Along]) -> None:
        shape = streams[()].shape
        self.streams = {
            along: t if t.shape == shape else t.expand(shape) for along, t in streams.items()
        }
        self.alongs = tuple(alongs)

    @classmethod
    def variables(cls, x: Tensor, wanted: Iterable[Along]) -> Jet:
        """The variables themselves, to be differentiated with respect to.

        Args:
            x: ``(n, variables)``.
            wanted: The derivatives to carry as multi-indices, in addition to all lower ones that
                they depend on.
        """
        alongs = closure(wanted)
        units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unbind(0)
        return cls(
            {(): x} | {along: units[along[0]] for along in alongs if len(along) == 1}, alongs
        )

    @property
    def value(self) -> Tensor:
        """``(n, columns)``."""
        return self.streams[()]

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def stream(self, along: Along) -> Tensor:
        """The value or a derivative ``(n, columns)``, zeros if it is absent."""
        if along not in self.alongs:
            raise KeyError(f"derivative {along} is not carried, only {self.alongs}")
        found = self.streams.get(along)
        return self.value.new_zeros(()).expand(self.shape) if found is None else found

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Jet(shape={tuple(self.shape)}, alongs={list(self.alongs)})"

    def __getitem__(self, index: Any) -> Jet:
        return _each(lambda t: t[index], self)

    # -- arithmetic -------------------------------------------------------------------------

    def __neg__(self) -> Jet:
        return _each(torch.neg, self)

    def __pos__(self) -> Jet:
        return self

    def __add__(self, other: Any) -> Jet:
        return _add(self, other)

    def __radd__(self, other: Any) -> Jet:
        return _add(other, self)

    def __sub__(self, other: Any) -> Jet:
        return _subtract(self, other)

    def __rsub__(self, other: Any) -> Jet:
        return _subtract(other, self)

    def __mul__(self, other: Any) -> Jet:
        return _multiply(self, other)

    def __rmul__(self, other: Any) -> Jet:
        return _multiply(other, self)

    def __truediv__(self, other: Any) -> Jet:
        return _divide(self, other)

    def __rtruediv__(self, other: Any) -> Jet:
        return _divide(other, self)

    def __pow__(self, other: Any) -> Jet:
        return _raise(self, other)

    def __rpow__(self, other: Any) -> Jet:
        return _raise(other, self)

    def __matmul__(self, other: Any) -> Jet:
        return _product(torch.matmul, self, other)

    # -- functions --------------------------------------------------------------------------

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operation = _OPERATIONS.get(func.__name__.strip("_"))
        options = {key: value for key, value in (kwargs or {}).items() if key != "inplace"}
        if operation is None:
            _refuse(f"torch.{func.__name__}")
        if options and operation not in _WITH_OPTIONS:
            _refuse(f"torch.{func.__name__} with {', '.join(options)}")
        return operation(*args, **options)

    def __getattr__(self, name: str) -> Any:
        """Operations as methods, such as ``jet.sin()``."""
        if name.startswith("_"):  # look-ups by Python, pickle and notebooks
            raise AttributeError(name)
        if name not in _OPERATIONS:
            _refuse(f".{name}")
        return partial(_OPERATIONS[name], self)

    def __float__(self) -> float:
        _refuse("math or float() (write torch.sin, not math.sin)")

    def _compare(self, other: object) -> NoReturn:
        _refuse("comparison")

    __lt__ = __le__ = __gt__ = __ge__ = _compare


def _refuse(operation: str) -> NoReturn:
    raise ConfigurationError(
        f"derivatives cannot pass through {operation}: use + - * / **, @, indexing, cat, sum, mean "
        f"and {', '.join(ELEMENTARY)}"
    )


def _total(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0])


def _each(linear: Callable[[Tensor], Tensor], jet: Jet) -> Jet:
    return Jet({along: linear(t) for along, t in jet.streams.items()}, jet.alongs)


def _pair(a: Any, b: Any) -> tuple[Jet, Jet]:
    """Both operands as jets; tensors and numbers are constants."""
    own = a if isinstance(a, Jet) else b
    assert isinstance(own, Jet)
    found = []
    for operand in (a, b):
        if not isinstance(operand, Jet):
            value = torch.as_tensor(operand, dtype=own.dtype, device=own.device)
            operand = Jet({(): value}, own.alongs)
        if operand.alongs != own.alongs:
            raise ValueError(f"jets carry other derivatives: {operand} and {own}")
        found.append(operand)
    return found[0], found[1]


def _add(a: Any, b: Any) -> Jet:
    one, two = _pair(a, b)
    streams: dict[Along, Tensor] = {(): one.value + two.value}
    for along in one.alongs[1:]:
        terms = [jet.streams[along] for jet in (one, two) if along in jet.streams]
        if terms:
            streams[along] = _total(terms)
    return Jet(streams, one.alongs)


def _subtract(a: Any, b: Any) -> Jet:
    return _add(a, -b)


def _product(bilinear: Callable[[Tensor, Tensor], Tensor], a: Any, b: Any) -> Jet:
    one, two = _pair(a, b)
    streams = {}
    for along in one.alongs:
        terms = [
            (count * one.streams[left] if count > 1 else one.streams[left], two.streams[right])
            for left, right, count in product_rule(along)
            if left in one.streams and right in two.streams
        ]
        if terms:
            streams[along] = _total([bilinear(left, right) for left, right in terms])
    return Jet(streams, one.alongs)


def _multiply(a: Any, b: Any) -> Jet:
    return _product(torch.mul, a, b)


def _divide(a: Any, b: Any) -> Jet:
    one, two = _pair(a, b)
    return _multiply(one, _apply(ELEMENTARY["reciprocal"], two))


def _raise(a: Any, b: Any) -> Jet:
    if isinstance(b, int | float):
        return _apply(power(b), a)
    one, two = _pair(a, b)
    return _apply(ELEMENTARY["exp"], _multiply(_apply(ELEMENTARY["log"], one), two))


def _apply(function: Derivatives, jet: Jet) -> Jet:
    """The chain rule for an elementary function."""
    derivatives = function(jet.value, len(jet.alongs[-1]))
    streams: dict[Along, Tensor] = {(): derivatives[0]}
    for along in jet.alongs[1:]:
        factors = chain_factors(along, jet.streams)
        terms = [derivatives[m] * factor for m, factor in factors.items() if m < len(derivatives)]
        if terms:
            streams[along] = _total(terms)
    return Jet(streams, jet.alongs)


def _cat(operands: Sequence[Any], dim: int = 0) -> Jet:
    own = next(jet for jet in operands if isinstance(jet, Jet))
    jets = [_pair(own, operand)[1] for operand in operands]
    carried = [along for along in own.alongs if any(along in jet.streams for jet in jets)]
    return Jet(
        {along: torch.cat([jet.stream(along) for jet in jets], dim) for along in carried},
        own.alongs,
    )


def _sum(jet: Jet, *args: Any, **kwargs: Any) -> Jet:
    return _each(lambda t: torch.sum(t, *args, **kwargs), jet)


def _mean(jet: Jet, *args: Any, **kwargs: Any) -> Jet:
    return _each(lambda t: torch.mean(t, *args, **kwargs), jet)


def _zeros_like(jet: Jet, **options: Any) -> Tensor:
    return torch.zeros_like(jet.value, **options)


def _ones_like(jet: Jet, **options: Any) -> Tensor:
    return torch.ones_like(jet.value, **options)


_WITH_OPTIONS = (_cat, _sum, _mean, _zeros_like, _ones_like)

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "neg": lambda jet: -jet,
    "negative": lambda jet: -jet,
    **dict.fromkeys(("add", "radd"), _add),
    **dict.fromkeys(("sub", "subtract"), _subtract),
    "rsub": lambda a, b: _subtract(b, a),
    **dict.fromkeys(("mul", "multiply", "rmul"), _multiply),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), _divide),
    **dict.fromkeys(("rdiv", "rtruediv"), lambda a, b: _divide(b, a)),
    "pow": _raise,
    "rpow": lambda a, b: _raise(b, a),
    "matmul": partial(_product, torch.matmul),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "sum": _sum,
    "mean": _mean,
    "zeros_like": _zeros_like,
    "ones_like": _ones_like,
    **{name: partial(_apply, function) for name, function in ELEMENTARY.items()},
}
