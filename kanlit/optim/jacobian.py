"""The Jacobian of residuals by the parameters, from one backward pass a component.

Rows of a batch do not touch each other, so the gradient of the sum of a component over all rows
holds, at the outputs of each layer, every row's own; from these and the layer's features follow
the rows of the Jacobian, a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.kernel.threads import in_order, thread_count
from kanlit.nn import KANLayer
from kanlit.optim.calls import Call, Factors
from kanlit.optim.residual import Residual

__all__ = ["JacobianColumns", "RowJacobian", "columns_of"]

_PANEL = 1024  # rows of which features are made at a time
_CHUNK_ELEMENTS = 2**20  # numbers in the rows made at a time: 8 MiB
_THREAD_ELEMENTS = 2**18  # numbers in all rows for which another thread is woken


class JacobianColumns:
    """Which columns of a Jacobian belong to which parameter.

    Args:
        parameters: In the order of their columns.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self._places: dict[int, slice] = {}
        stop = 0
        for parameter in self.parameters:
            start, stop = stop, stop + parameter.numel()
            self._places[id(parameter)] = slice(start, stop)
        self.count = stop

    def of(self, parameter: Tensor | None) -> slice | None:
        """A parameter's columns; ``None`` where it has none."""
        return self._places.get(id(parameter))

    def gather(self) -> Tensor:
        """The parameters' values ``(P,)``, float64."""
        return torch.cat([p.detach().double().flatten() for p in self.parameters])

    def joined(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """Gradients by the parameters as one vector ``(P,)``, float64; ``None`` is zero."""
        return torch.cat(
            [
                torch.zeros_like(p).double().flatten() if g is None else g.double().flatten()
                for p, g in zip(self.parameters, gradients, strict=True)
            ]
        )


def columns_of(calls: Sequence[Call], held: Sequence[Tensor]) -> JacobianColumns:
    """All parameters that are trained, less the scales of edges.

    A scale times coefficients is a direction in which nothing changes: where an edge's
    coefficients are trained its scale stays as it is.
    """
    fixed = {
        id(call.layer.edge_scale)
        for call in calls
        if isinstance(call.layer, KANLayer) and call.layer.coefficients.requires_grad
    }
    return JacobianColumns([p for p in held if p.requires_grad and id(p) not in fixed])


class RowJacobian:
    """The rows of the Jacobian of ``scale · residual``, made a few at a time.

    Args:
        blocks: Residuals ``(n, targets)`` with the graph that ``calls`` were recorded in.
        scales: What each block's rows are multiplied by.
        calls: The recorded calls.
        columns: The parameters.
        memory: Bytes for rows that wait for their use; without any one thread makes them.

    Attributes:
        rows: How many there are.

    Raises:
        ConfigurationError: A layer was called on another number of rows than the block has.
    """

    @torch.enable_grad()
    def __init__(
        self,
        blocks: Mapping[str, Residual],
        scales: Mapping[str, float],
        calls: Sequence[Call],
        columns: JacobianColumns,
        memory: float = 0.0,
    ) -> None:
        self._columns = columns
        self._scales = scales
        self._memory = memory
        self._components = {
            name: [_Component(name, values, calls, columns) for values in block.values.unbind(1)]
            for name, block in blocks.items()
        }
        self.rows = sum(block.values.numel() for block in blocks.values())

    def chunks(self, most: int | None = None) -> Iterator[Tensor]:
        """The rows ``(rows, P+1)``, the residual in the last column.

        Args:
            most: So many rows at most; left out, as many as the processor's cache can hold.
        """
        width = self._columns.count + 1
        most = most or max(64, _CHUNK_ELEMENTS // width)

        def made(panel: tuple[str, slice]) -> list[Tensor]:
            return list(self._made(*panel, most))

        ahead = self._ahead(width)
        if ahead < 2:  # nothing waits: a chunk is made when it is asked for
            for panel in self._panels():
                yield from self._made(*panel, most)
        else:
            for chunks in in_order(made, self._panels(), ahead):
                yield from chunks

    def _ahead(self, width: int) -> int:
        """How many panels may be made before the first is used."""
        threads = thread_count()
        if threads == 1 or self.rows * width < _THREAD_ELEMENTS:
            return 1
        targets = max(len(components) for components in self._components.values())
        panel = 2 * 8 * _PANEL * targets * width  # bytes of its rows and of what they are made from
        return min(2 * threads, int(self._memory // panel))

    @torch.no_grad()
    def _made(self, name: str, panel: slice, most: int) -> Iterator[Tensor]:
        components = self._components[name]
        features = {call: call.features(panel) for part in components for call in part.gradients}
        for part in components:
            factors = part.factors(features, panel)
            residual = part.residual[panel]
            for rows in _cut(len(residual), most):
                shape = rows.stop - rows.start, self._columns.count + 1
                matrix = residual.new_empty(shape, dtype=torch.float64)
                _fill(matrix, self._columns, factors, rows)
                matrix[:, -1] = residual[rows]
                yield matrix.mul_(self._scales[name])

    def ordered(self, values: Mapping[str, Tensor]) -> Tensor:
        """Other residuals ``(n, targets)``, scaled and in the order of the rows."""
        parts = [
            (values[name][panel].T.double() * self._scales[name]).flatten()
            for name, panel in self._panels()
        ]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)

    def _panels(self) -> Iterator[tuple[str, slice]]:
        for name, components in self._components.items():
            for panel in _cut(len(components[0].residual) if components else 0, _PANEL):
                yield name, panel


def _cut(count: int, most: int) -> Iterator[slice]:
    for start in range(0, count, most):
        yield slice(start, min(start + most, count))


class _Component:
    """One component of a block ``(n,)``, with its gradients at the outputs of every call."""

    def __init__(
        self, name: str, values: Tensor, calls: Sequence[Call], columns: JacobianColumns
    ) -> None:
        self.residual = values.detach()
        self.gradients: dict[Call, Sequence[Tensor | None]] = {}
        self._others: list[Factors] = []
        if not values.requires_grad or len(values) == 0:
            return
        points = [output for call in calls for output in call.outputs]
        found: Iterator[Tensor | None] = iter(
            torch.autograd.grad(
                values.sum(), [*points, *columns.parameters], retain_graph=True, allow_unused=True
            )
        )
        for call in calls:
            gradients = [next(found) for _ in call.outputs]
            if any(gradient is not None for gradient in gradients):
                _check_rows(name, len(values), call)
                self.gradients[call] = gradients
        used = [p for p, g in zip(columns.parameters, found, strict=True) if g is not None]
        if used:
            self._others = _one_by_one(values, used)

    def factors(self, features: Mapping[Call, object], rows: slice) -> list[Factors]:
        """All that makes up some rows."""
        found = [
            factors
            for call, gradients in self.gradients.items()
            for factors in call.factors(features[call], gradients, rows)
        ]
        return found + [Factors(p, derivatives[rows]) for p, derivatives, _ in self._others]


def _check_rows(name: str, rows: int, call: Call) -> None:
    if call.rows != rows:
        raise ConfigurationError(
            f"residuals {name!r} have {rows} rows, but {call.layer!r} that they depend on was "
            f"called on {call.rows}: call the network once for each group of rows, so that row i "
            f"goes in where residual i comes out"
        )


def _fill(
    matrix: Tensor, columns: JacobianColumns, factors: Sequence[Factors], rows: slice
) -> None:
    """Writes some rows of all factors into the columns of their parameters."""
    written: set[int] = set()
    for parameter, left, right in factors:
        place = columns.of(parameter)
        if place is None:
            continue
        view = matrix[:, place].view(-1, *parameter.shape)
        left = left[rows]
        right = None if right is None else right[rows]
        if id(parameter) not in written:
            written.add(id(parameter))
            view.copy_(left) if right is None else torch.mul(left, right, out=view)
        else:
            view.add_(left) if right is None else view.addcmul_(left, right)
    for parameter in columns.parameters:
        if id(parameter) not in written:
            matrix[:, columns.of(parameter)] = 0


def _one_by_one(values: Tensor, parameters: Sequence[Tensor]) -> list[Factors]:
    """Derivatives ``(n, *shape)`` by parameters that are in no recorded call.

    The gradient Jᵀw is linear in w, and its own gradient by w is a column of J: a pass for each
    single number, so meant for a few, such as a coefficient of an equation.
    """
    weights = torch.ones_like(values, requires_grad=True)
    sums = torch.autograd.grad(values, list(parameters), weights, create_graph=True)
    found = []
    for parameter, total in zip(parameters, sums, strict=True):
        columns = [
            torch.autograd.grad(entry, weights, retain_graph=True)[0]
            for entry in total.flatten().unbind()
        ]
        found.append(Factors(parameter, torch.stack(columns, 1).view(-1, *parameter.shape)))
    return found
