"""The Jacobian of residuals with respect to the parameters, by one backward pass per component.

The rows of a batch are independent. The gradient of the sum of a component over all rows therefore
contains, at the outputs of each layer, the gradient of every row. Together with the features of
the layer it gives the rows of the Jacobian, which are computed in chunks.
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

__all__ = ["JacobianColumns", "RowJacobian", "trained_columns"]

_PANEL = 1024  # rows whose features are computed at a time
_CHUNK_ELEMENTS = 2**20  # elements of the rows computed at a time: 8 MiB
_THREAD_ELEMENTS = 2**18  # elements of all rows from which several threads pay off


class JacobianColumns:
    """Maps parameters to columns of a Jacobian.

    Args:
        parameters: The parameters in the order of their columns.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self._places: dict[int, slice] = {}
        stop = 0
        for parameter in self.parameters:
            start, stop = stop, stop + parameter.numel()
            self._places[id(parameter)] = slice(start, stop)
        self.count = stop

    def slice_of(self, parameter: Tensor | None) -> slice | None:
        """The columns of a parameter; ``None`` if it has none."""
        return self._places.get(id(parameter))

    def gather(self) -> Tensor:
        """The values of the parameters ``(P,)``, float64."""
        return torch.cat([p.detach().double().flatten() for p in self.parameters])

    def flatten_gradients(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """Gradients of the parameters as one vector ``(P,)``, float64; ``None`` means zero."""
        return torch.cat(
            [
                torch.zeros_like(p).double().flatten() if g is None else g.double().flatten()
                for p, g in zip(self.parameters, gradients, strict=True)
            ]
        )


def trained_columns(calls: Sequence[Call], held: Sequence[Tensor]) -> JacobianColumns:
    """Columns for all trained parameters except redundant edge scales.

    An edge scale and the coefficients of its edge enter only as a product, so the scale is kept
    fixed where the coefficients are trained.
    """
    fixed = {
        id(call.layer.edge_scale)
        for call in calls
        if isinstance(call.layer, KANLayer) and call.layer.coefficients.requires_grad
    }
    return JacobianColumns([p for p in held if p.requires_grad and id(p) not in fixed])


class RowJacobian:
    """The rows of the Jacobian of ``scale · residual``, computed in chunks.

    Args:
        blocks: Residuals ``(n, targets)`` with the graph in which ``calls`` were recorded.
        scales: Factor of the rows of each block.
        calls: The recorded calls.
        columns: The parameters.
        memory: Bytes for chunks computed ahead of their use; 0 means one thread and none ahead.

    Attributes:
        rows: Number of rows.
        device: Device of the rows.

    Raises:
        ConfigurationError: If a layer was called on another number of rows than its block has.
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
        self.device = columns.parameters[0].device

    def chunks(self, most: int | None = None) -> Iterator[Tensor]:
        """Yields rows ``(rows, P+1)`` with the residual in the last column.

        Args:
            most: Largest number of rows per chunk; if omitted, as many as fit into the cache.
        """
        width = self._columns.count + 1
        most = most or max(64, _CHUNK_ELEMENTS // width)

        def compute(panel: tuple[str, slice]) -> list[Tensor]:
            return list(self._compute(*panel, most))

        ahead = self._ahead(width)
        if ahead < 2:  # compute each chunk when it is requested
            for panel in self._panels():
                yield from self._compute(*panel, most)
        else:
            for chunks in in_order(compute, self._panels(), ahead):
                yield from chunks

    def _ahead(self, width: int) -> int:
        """Number of panels that may be computed before the first is used."""
        threads = thread_count()
        if threads == 1 or self.rows * width < _THREAD_ELEMENTS:
            return 1
        targets = max(len(components) for components in self._components.values())
        panel = 2 * 8 * _PANEL * targets * width  # bytes of its rows and factors
        return min(2 * threads, int(self._memory // panel))

    @torch.no_grad()
    def _compute(self, name: str, panel: slice, most: int) -> Iterator[Tensor]:
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
        """Other residuals ``(n, targets)`` by block, scaled and in the order of the rows."""
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
    """One component of a block ``(n,)`` and its gradients at the outputs of every call."""

    def __init__(
        self, name: str, values: Tensor, calls: Sequence[Call], columns: JacobianColumns
    ) -> None:
        self.residual = values.detach()
        self.gradients: dict[Call, Sequence[Tensor | None]] = {}
        self._others: list[Factors] = []
        if not values.requires_grad or len(values) == 0:
            return
        points = [output for call in calls for output in call.outputs]
        all_gradients: Iterator[Tensor | None] = iter(
            torch.autograd.grad(
                values.sum(), [*points, *columns.parameters], retain_graph=True, allow_unused=True
            )
        )
        for call in calls:
            gradients = [next(all_gradients) for _ in call.outputs]
            if any(gradient is not None for gradient in gradients):
                _check_rows(name, len(values), call)
                self.gradients[call] = gradients
        by_parameter = zip(columns.parameters, all_gradients, strict=True)
        used = [p for p, gradient in by_parameter if gradient is not None]
        if used:
            self._others = _one_by_one(values, used)

    def factors(self, features: Mapping[Call, object], rows: slice) -> list[Factors]:
        """All derivatives of some rows."""
        recorded = [
            factors
            for call, gradients in self.gradients.items()
            for factors in call.factors(features[call], gradients, rows)
        ]
        return recorded + [Factors(p, derivatives[rows]) for p, derivatives, _ in self._others]


def _check_rows(name: str, rows: int, call: Call) -> None:
    if call.rows != rows:
        raise ConfigurationError(
            f"residuals {name!r} have {rows} rows, but they depend on {call.layer!r}, which was "
            f"called on {call.rows}: call the network separately for each block, so that residual "
            f"i depends only on row i of the inputs"
        )


def _fill(
    matrix: Tensor, columns: JacobianColumns, factors: Sequence[Factors], rows: slice
) -> None:
    """Writes some rows of all factors into the columns of their parameters."""
    written: set[int] = set()
    for parameter, left, right in factors:
        place = columns.slice_of(parameter)
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
            matrix[:, columns.slice_of(parameter)] = 0


def _one_by_one(values: Tensor, parameters: Sequence[Tensor]) -> list[Factors]:
    """Derivatives ``(n, *shape)`` by parameters that are used outside the recorded calls.

    Jᵀw is linear in w, and the gradient of one of its entries with respect to w is a column of J.
    This needs a backward pass per entry, so it suits a few, such as a coefficient of an equation.
    """
    weights = torch.ones_like(values, requires_grad=True)
    sums = torch.autograd.grad(values, list(parameters), weights, create_graph=True)
    derivatives = []
    for parameter, total in zip(parameters, sums, strict=True):
        columns = [
            torch.autograd.grad(entry, weights, retain_graph=True)[0]
            for entry in total.flatten().unbind()
        ]
        derivatives.append(Factors(parameter, torch.stack(columns, 1).view(-1, *parameter.shape)))
    return derivatives
