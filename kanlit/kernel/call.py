"""Calls the kernel on tensors, under autograd."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kanlit.bases import BSplineBasis
from kanlit.compat import has_storage, operations_are_watched
from kanlit.kernel.library import Problem, load
from kanlit.kernel.threads import thread_count
from kanlit.splines import Pieces

if TYPE_CHECKING:
    from kanlit.nn.edges import Edges

__all__ = ["forward", "kernel_available", "sweep", "takes"]

_Pairs = Sequence[tuple[int, int]]
_SETTINGS = 4  # kind, basis, pairs, dense: what an evaluation takes before its tensors
_PARAMETERS = 4  # so many of its tensors are the edges'


def kernel_available() -> bool:
    """Whether the compiled kernel is there and not switched off by ``KANLIT_KERNEL=0``."""
    return load() is not None


def takes(edges: Edges, x: Tensor, *streams: Tensor) -> bool:
    """Whether the kernel can take these tensors here: plain ones of one type, on the CPU.

    What does not fit together is left to torch, for its errors.

    Args:
        edges: The edges.
        x: ``(in, n)``.
        streams: For a sweep first ``(D, in, n)`` and second ``(pairs, in, n)``.
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
        and (not streams or streams[0].shape[0] > 0)
    )


def _plain(dtype: torch.dtype, *tensors: Tensor) -> bool:
    if dtype not in (torch.float32, torch.float64):
        return False
    for tensor in tensors:
        kind = type(tensor)
        if (kind is not Tensor and kind is not torch.nn.Parameter) or tensor.dtype is not dtype:
            return False
        # A batch of vmap, old or new, has no memory of its own.
        if not tensor.is_cpu or not has_storage(tensor):
            return False
    # Whoever transforms or records operations has to see them.
    return not operations_are_watched()


def forward(edges: Edges, x: Tensor, dense: bool) -> Tensor:
    """:meth:`Edges.forward`, compiled: ``(in, n)`` to ``(out, n)``.

    Gradients of gradients run in plain torch; ``dense`` is for them.
    """
    (y,) = _Evaluation.apply(type(edges), edges.basis, (), dense, *edges[1:], x)
    return y


def sweep(
    edges: Edges, value: Tensor, first: Tensor, second: Tensor, pairs: _Pairs, dense: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """:meth:`Edges.sweep`, compiled; ``dense`` as in :func:`forward`."""
    variables = range(first.shape[0])
    pairs = [(variables[d], variables[e]) for d, e in pairs]
    if len(pairs) != second.shape[0]:
        raise ValueError(f"{len(pairs)} pairs, but {second.shape[0]} second derivatives")
    streams = []
    for stream in (first, second):
        # One that is the same at all points stays one number, unless its gradients differ.
        points = 1 if stream.shape[-1] == 1 and not stream.requires_grad else value.shape[1]
        streams.append(stream.expand(-1, value.shape[0], points))
    return _Evaluation.apply(type(edges), edges.basis, pairs, dense, *edges[1:], value, *streams)


class _Evaluation(torch.autograd.Function):
    """The sums of all edges at x alone, or at x, first and second."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Edges],
        basis: BSplineBasis,
        pairs: _Pairs,
        dense: bool,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        x, *streams = tensors[_PARAMETERS:]
        outputs, n = tensors[0].shape[0], x.shape[1]
        ys = [x.new_empty(outputs, n)]
        ys += [x.new_empty(stream.shape[0], outputs, n) for stream in streams]
        piece = torch.empty(x.shape, dtype=torch.int32, device="cpu")
        _run("forward", basis.pieces, pairs, tensors, piece, y=ys)
        ctx.save_for_backward(*tensors)
        ctx.kind, ctx.basis, ctx.pairs, ctx.dense, ctx.piece = kind, basis, pairs, dense, piece
        return tuple(ys)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad[_SETTINGS:]
        if torch.is_grad_enabled() or not _plain(tensors[0].dtype, *tensors, *grads):
            return *_SETTINGS * (None,), *_differentiable(ctx, tensors, needed, grads)
        # The kernel leaves out gradients of inputs, but never those of parameters, nor that of x
        # alone.
        inputs = any(needed[_PARAMETERS:])
        wanted = [True] * _PARAMETERS + [inputs, *needed[_PARAMETERS + 1 :]]
        gradients = [
            torch.empty_like(t, memory_format=torch.contiguous_format) if want else None
            for t, want in zip(tensors, wanted, strict=True)
        ]
        _run("backward", ctx.basis.pieces, ctx.pairs, tensors, ctx.piece, grads, gradients)
        found = zip(gradients, needed, strict=True)
        return *_SETTINGS * (None,), *(gradient if need else None for gradient, need in found)


def _differentiable(
    ctx: Any, tensors: Sequence[Tensor], needed: Sequence[bool], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """The same gradients in plain torch, themselves differentiable where that is asked."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views: an input may depend on a parameter by its own history, which is not ours to follow.
        own = [
            (t if again else t.detach().requires_grad_(need)).view_as(t)
            for t, need in zip(tensors, needed, strict=True)
        ]
        edges: Edges = ctx.kind(ctx.basis, *own[:_PARAMETERS])
        x, *streams = own[_PARAMETERS:]
        ys: tuple[Tensor, ...] = (
            edges.sweep(x, streams[0], streams[1], ctx.pairs, ctx.dense)
            if streams
            else (edges.forward(x, ctx.dense),)
        )
        wanted = [t for t, need in zip(own, needed, strict=True) if need]
        pairs = [(y, grad) for y, grad in zip(ys, grads, strict=True) if y.requires_grad]
        found = iter(
            torch.autograd.grad(
                [y for y, _ in pairs],
                wanted,
                [grad for _, grad in pairs],
                create_graph=again,
                allow_unused=True,
            )
        )
    return [next(found) if need else None for need in needed]


def _run(
    name: str,
    pieces: Pieces,
    pairs: _Pairs,
    tensors: Sequence[Tensor],
    piece: Tensor,
    y: Sequence[Tensor],
    gradients: Sequence[Tensor | None] = (),
) -> None:
    """One call: forward fills ``y``; backward takes gradients in its place and fills theirs."""
    library = load()
    assert library is not None  # else takes() has said no
    tensors, y = [t.contiguous() for t in tensors], [t.contiguous() for t in y]
    x, *streams = tensors[_PARAMETERS:]
    problem = Problem()
    problem.outputs, problem.features, problem.bases = tensors[0].shape
    problem.points, problem.pieces = x.shape[1], pieces.origin.shape[1]
    problem.order = pieces.polynomials.shape[-1] - 1
    problem.threads = thread_count()
    problem.piece = piece.data_ptr()
    _point(problem, ("edges", "origin", "inverse_width", "polynomials", "lowest"), pieces)
    _point(problem, ("weight", "scale", "base", "bias", "x", "first", "second"), tensors)
    numbers = (ctypes.c_int64 * (2 * len(pairs)))(*(number for pair in pairs for number in pair))
    if streams:
        first, second = streams
        problem.variables, problem.first_points = first.shape[0], first.shape[2]
        problem.pairs, problem.second_points = second.shape[0], second.shape[2]
        problem.pair = ctypes.addressof(numbers)
    if name == "forward":
        _point(problem, ("y", "y_first", "y_second"), y)
    else:
        _point(problem, ("y_grad", "y_first_grad", "y_second_grad"), y)
        names = ("weight", "scale", "base", "bias", "x", "first", "second")
        _point(problem, [f"{name}_grad" for name in names], gradients)
    dtype = "float32" if x.dtype is torch.float32 else "float64"
    failure = getattr(library, f"kanlit_{name}_{dtype}")(problem)
    if failure == 1:
        raise MemoryError("no memory for a KAN layer")
    if failure:
        raise RuntimeError("the coefficients of a KAN layer do not fit its knots")


def _point(problem: Problem, names: Sequence[str], tensors: Sequence[Tensor | None]) -> None:
    # As many as there are: without streams the last names stay null.
    for name, tensor in zip(names, tensors, strict=False):
        if tensor is not None:
            setattr(problem, name, tensor.data_ptr())
