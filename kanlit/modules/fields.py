"""Networks of their own for the fields of an equation, within the network of a module."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, separate
from kanlit.problems import BoundaryValueProblem

__all__ = ["separate_fields"]


def separate_fields(
    network: KAN, problem: BoundaryValueProblem, own_hidden: Sequence[int] | None
) -> None:
    """Divides a network into one for each field of an equation, and one for its other unknowns.

    Args:
        network: The network, with all its hidden nodes.
        problem: The equation.
        own_hidden: Hidden widths of the network of a field; if omitted, all have equal shares. The
            first network has what is left.

    Raises:
        ConfigurationError: The hidden nodes are too few, or there are no fields to have them.
    """
    fields, unknowns = problem.fields, problem.equation.unknowns
    if not fields:
        if own_hidden is not None:
            raise ConfigurationError(
                f"field_hidden is {list(own_hidden)}, but {problem.name} has no fields: remove "
                f"field_hidden, or name in fields which unknowns have a network of their own"
            )
        return
    inputs = list(fields.values())
    if len(fields) < len(unknowns):
        inputs.insert(0, torch.ones_like(inputs[0]))
    count, hidden = len(inputs), network.widths[1:-1]
    own = [width // count for width in hidden] if own_hidden is None else list(own_hidden)
    if len(own) != len(hidden) or any(
        each < 1 or each * (count - 1) >= width for each, width in zip(own, hidden, strict=True)
    ):
        raise ConfigurationError(
            f"the hidden nodes {hidden} cannot be divided into {count} networks, with {own} of "
            f"each field of {problem.name}: raise hidden, or set field_hidden"
        )
    numbers = torch.arange(count)
    owners = [
        numbers.repeat_interleave(torch.tensor([width - (count - 1) * each, *[each] * (count - 1)]))
        for width, each in zip(hidden, own, strict=True)
    ]
    places = dict(zip(fields, numbers[-len(fields) :].tolist(), strict=True))
    owners.append(torch.tensor([places.get(name, 0) for name in unknowns]))
    separate(network, torch.stack(inputs), owners)
