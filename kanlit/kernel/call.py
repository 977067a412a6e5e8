"""Calls the compiled kernel on tensors, with autograd."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kanlit.bases import BSplineBasis
from kanlit.chain_rule import Along, set_partitions
from kanlit.compat import has_storage, operations_are_watched
from kanlit.kernel.library import HIGHEST_ORDER, Problem, Product, load
from kanlit.kernel.threads import thread_count
from kanlit.splines import Pieces

if TYPE_CHECKING:
    from kanlit.nn.edges import Edges

__all__ = ["HIGHEST_ORDER", "forward", "kernel_available", "supports", "sweep"]

_SETTINGS = 4  # arguments of an evaluation before its tensors: kind, basis, alongs, dense
_PARAMETERS = 4  # number of its tensors that are parameters of the edges
_INPUTS = ("weight", "scale", "base", "bias", "x", "stream")  # its tensors


def kernel_available() -> bool:
    """Whether the compiled kernel is built and not disabled by ``KANLIT_KERNEL=0``."""
    return load() is not None


def supports(edges: Edges, x: Tensor, *streams: Tensor) -> bool:
    """Whether the kernel supports these tensors (dense, CPU, one dtype).

    False for shapes that do not match, so that torch raises the error.

    Args:
        edges: The edges.
        x: ``(in, n)``.
        streams: For a sweep, the derivatives ``(S, in, n)``.
    """
    if torch.compiler.is_compiling() or load() is None:
        return False
    outputs, features = edges.coefficients.shape[:2]
    return (
        isinstance(edges.basis, BSplineBasis)
        and _plain(edges.basis.breakpoints.dtype, *edges[1:], x, *streams)
        and x.shape[0] == edges.basis.breakpoints.shape[0] == features
        and edges.base_weight.shape == edges.edge_scale.shape == (outputs, features)
        and edges.bias.shape == (outputs,)
        and all(stream.dim() == 3 for stream in streams)
    )


def _plain(dtype: torch.dtype, *tensors: Tensor) -> bool:
    if dtype not in (torch.float32, torch.float64):
        return False
    for tensor in tensors:
        kind = type(tensor)
        if (kind is not Tensor and kind is not torch.nn.Parameter) or tensor.dtype is not dtype:
            return False
        # Batched tensors of vmap have no storage of their own.
        if not tensor.is_cpu or not has_storage(tensor):
            return False
    # Modes that transform or record operations must see the torch operations.
    return not operations_are_watched()


def forward(edges: Edges, x: Tensor, dense: bool) -> Tensor:
    """Compiled :meth:`Edges.forward`: ``(in, n)`` to ``(out, n)``.

    ``dense`` is used only for gradients of gradients, which run in plain torch.
    """
    (y,) = _Evaluation.apply(type(edges), edges.basis, (), dense, *edges[1:], x)
    return y


def sweep(
    edges: Edges, value: Tensor, streams: Tensor, alongs: Sequence[Along], dense: bool
) -> tuple[Tensor, Tensor]:
    """Compiled :meth:`Edges.sweep` up to :data:`HIGHEST_ORDER`; ``dense`` as in :func:`forward`."""
    # Streams that are constant over the points stay a single point, unless they need gradients,
    # which differ from point to point.
    points = 1 if streams.shape[-1] == 1 and not streams.requires_grad else value.shape[1]
    streams = streams.expand(-1, value.shape[0], points)
    return _Evaluation.apply(type(edges), edges.basis, alongs, dense, *edges[1:], value, streams)


class _Evaluation(torch.autograd.Function):
    """Evaluates all edges at x, or at x with derivatives."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Edges],
        basis: BSplineBasis,
        alongs: Sequence[Along],
        dense: bool,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        x, *streams = tensors[_PARAMETERS:]
        outputs, n = tensors[0].shape[0], x.shape[1]
        ys = [x.new_empty(outputs, n)]
        ys += [x.new_empty(stream.shape[0], outputs, n) for stream in streams]
        piece = torch.empty(x.shape, dtype=torch.int32, device="cpu")
        _run("forward", basis.pieces, alongs, tensors, piece, y=ys)
        ctx.save_for_backward(*tensors)
        ctx.kind, ctx.basis, ctx.alongs, ctx.dense, ctx.piece = kind, basis, alongs, dense, piece
        return tuple(ys)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad[_SETTINGS:]
        if torch.is_grad_enabled() or not _plain(tensors[0].dtype, *tensors, *grads):
            return *_SETTINGS * (None,), *_differentiable(ctx, tensors, needed, grads)
        # The kernel can skip the gradients of all inputs, or of the streams, but never those of
        # the parameters.
        inputs = any(needed[_PARAMETERS:])
        wanted = [True] * _PARAMETERS + [inputs, *needed[_PARAMETERS + 1 :]]
        gradients = [
            torch.empty_like(t, memory_format=torch.contiguous_format) if want else None
            for t, want in zip(tensors, wanted, strict=True)
        ]
        _run("backward", ctx.basis.pieces, ctx.alongs, tensors, ctx.piece, grads, gradients)
        pairs = zip(gradients, needed, strict=True)
        return *_SETTINGS * (None,), *(gradient if need else None for gradient, need in pairs)


def _differentiable(
    ctx: Any, tensors: Sequence[Tensor], needed: Sequence[bool], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """The same gradients in plain torch, differentiable if gradients are enabled."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that gradients stop here: an input may itself depend on a parameter.
        own = [
            (t if again else t.detach().requires_grad_(need)).view_as(t)
            for t, need in zip(tensors, needed, strict=True)
        ]
        edges: Edges = ctx.kind(ctx.basis, *own[:_PARAMETERS])
        x, *streams = own[_PARAMETERS:]
        ys: tuple[Tensor, ...] = (
            edges.sweep(x, streams[0], ctx.alongs, ctx.dense)
            if streams
            else (edges.forward(x, ctx.dense),)
        )
        wanted = [t for t, need in zip(own, needed, strict=True) if need]
        pairs = [(y, grad) for y, grad in zip(ys, grads, strict=True) if y.requires_grad]
        gradients = iter(
            torch.autograd.grad(
                [y for y, _ in pairs],
                wanted,
                [grad for _, grad in pairs],
                create_graph=again,
                allow_unused=True,
            )
        )
    return [next(gradients) if need else None for need in needed]


def _run(
    name: str,
    pieces: Pieces,
    alongs: Sequence[Along],
    tensors: Sequence[Tensor],
    piece: Tensor,
    y: Sequence[Tensor],
    gradients: Sequence[Tensor | None] = (),
) -> None:
    """Calls the library. Forward writes ``y``; backward reads ``y`` and writes ``gradients``.

    For backward, ``y`` contains the gradients with respect to the outputs.
    """
    library = load()
    assert library is not None  # checked by supports()
    tensors, y = [t.contiguous() for t in tensors], [t.contiguous() for t in y]
    x, *streams = tensors[_PARAMETERS:]
    problem = Problem()
    problem.outputs, problem.features, problem.bases = tensors[0].shape
    problem.points, problem.pieces = x.shape[1], pieces.origin.shape[1]
    problem.order = pieces.polynomials.shape[-1] - 1
    problem.threads = thread_count()
    problem.piece = piece.data_ptr()
    _point(problem, ("edges", "origin", "inverse_width", "polynomials", "lowest"), pieces)
    _point(problem, _INPUTS, tensors)
    for stream in streams:
        products = _products(tuple(alongs))
        orders = [len(along) for along in alongs]
        problem.streams, problem.stream_points = len(alongs), stream.shape[2]
        problem.highest, problem.terms, problem.products = orders[-1], sum(orders), len(products)
        problem.of_order[:] = [orders.count(order) for order in range(HIGHEST_ORDER + 1)]
        problem.product = ctypes.addressof(products)
    if name == "forward":
        _point(problem, ("y", "y_stream"), y)
    else:
        _point(problem, ("y_grad", "y_stream_grad"), y)
        _point(problem, [f"{name}_grad" for name in _INPUTS], gradients)
    dtype = "float32" if x.dtype is torch.float32 else "float64"
    failure = getattr(library, f"kanlit_{name}_{dtype}")(problem)
    if failure == 1:
        raise MemoryError("not enough memory for a KAN layer")
    if failure:
        raise RuntimeError("the coefficients of a KAN layer do not match its knots")


@cache
def _products(alongs: tuple[Along, ...]) -> ctypes.Array[Product]:
    """The products of the chain rule, see the struct in ``problem.h``."""
    starts = accumulate((len(along) for along in alongs[:-1]), initial=0)
    places = list(zip(alongs, starts, strict=True))
    term = dict(places)
    found = [
        Product(start + len(blocks) - 1, count, len(blocks), tuple(term[b] for b in blocks))
        for along, start in places
        for blocks, count in set_partitions(along)
        if len(blocks) > 1
    ]
    return (Product * len(found))(*found)


def _point(problem: Problem, names: Sequence[str], tensors: Sequence[Tensor | None]) -> None:
    # Not strict: without streams, the last pointers stay null.
    for name, tensor in zip(names, tensors, strict=False):
        if tensor is not None:
            setattr(problem, name, tensor.data_ptr())
