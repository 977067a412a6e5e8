"""Writes and runs the contents of ONNX and ``.pt2`` files."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.export.numbers import FullPrecision
from kanlit.modules import KANModule

__all__ = ["INPUT", "METADATA_FILE", "OUTPUT", "SUFFIXES", "check_packages", "make", "run"]

SUFFIXES = (".onnx", ".pt2")
INPUT, OUTPUT = "inputs", "predictions"  # of the graph: matrices with one column per feature
METADATA_FILE = "kanlit.json"  # inside a .pt2

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_EXAMPLE_ROWS = 7  # any number from 2; the exported graph accepts any number of rows


class _Forward(nn.Module):
    """Wraps a module so that torch.export sees only its forward."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        with FullPrecision():
            return self.module(inputs)


def check_packages(suffix: str) -> None:
    """Raises ConfigurationError if the packages for a format are not installed."""
    missing = [name for name in _PACKAGES if suffix == ".onnx" and find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"writing ONNX needs {', '.join(missing)}: pip install kanlit[export], or write a .pt2"
        )


def make(module: KANModule, metadata: Mapping[str, str], suffix: str) -> bytes:
    """The contents of a file with the forward of ``module``, for any number of rows.

    Args:
        module: A module that maps ``(n, in)`` to ``(n, out)``; put into evaluation mode.
        metadata: Strings by name, stored in the file.
        suffix: The format: ``.onnx`` or ``.pt2``.
    """
    points = module.spanning_points()
    example = points.new_zeros(_EXAMPLE_ROWS, points.shape[1])
    rows = torch.export.Dim("rows", min=0)
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            _Forward(module.eval()), (example,), dynamic_shapes=({0: rows},), strict=False
        )
        for node in program.graph.nodes:  # remove the paths of source files on this machine
            for trace in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                node.meta.pop(trace, None)
        if suffix == ".pt2":
            file = io.BytesIO()
            kept = {METADATA_FILE: json.dumps(dict(metadata))}
            torch.export.save(program, file, extra_files=kept)
            return file.getvalue()
        onnx = torch.onnx.export(
            program, (), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False
        )
    assert onnx is not None
    onnx.model.metadata_props.update(metadata)
    proto = onnx.model_proto
    _tidy(proto.graph)
    return proto.SerializeToString()


def run(content: bytes, suffix: str) -> Callable[[Tensor], Tensor]:
    """The function of a file, ``(n, in)`` to ``(n, out)``, by onnxruntime or torch.export."""
    if suffix == ".pt2":
        with _quiet():
            return torch.export.load(io.BytesIO(content)).module()
    import onnxruntime  # type: ignore[import-untyped]  # from the extra "export"

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])

    return predict


def _tidy(graph: Any) -> None:
    """Names the dynamic dimension of an ONNX graph ``rows`` and removes tracing metadata."""
    (number,) = {value.type.tensor_type.shape.dim[0].dim_param for value in graph.input}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == number:
                dim.dim_param = "rows"
        del value.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
    del graph.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the messages of the exporters, for example about packages that are not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
