"""Signs that a solution does not fit the values that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from kanlit.optim.uncertainty import Spread
from kanlit.problems import BoundaryValueProblem
from kanlit.problems.names import Network
from kanlit.problems.observations import OBSERVED

__all__ = ["likeness", "misfit_of", "signs_of_misfit"]

_LEAST = 4.0  # standard deviations that are no accident
_NEIGHBOURS = 4


@torch.no_grad()
def misfit_of(
    problem: BoundaryValueProblem,
    network: Network,
    batch: Mapping[str, Tensor],
    spread: Spread,
    known: bool,
) -> list[str]:
    """What shows that a solution does not fit the observations, in words.

    Args:
        problem: The equation.
        network: Its solution.
        batch: A batch with observations.
        spread: What is known of the unknown coefficients.
        known: Whether the observations have a known noise level.
    """
    residuals = problem.observation_residual(network, batch)[:, 0]
    low, high = residuals.new_tensor(problem.domain.bounds).unbind(1)
    points, _, scales = (batch[name] for name in OBSERVED)
    return list(
        signs_of_misfit(
            ((points - low) / (high - low)).double().cpu(),
            scales.argmax(1).cpu(),
            residuals.double().cpu(),
            spread.noise,
            spread.rows - spread.freedom,
            known,
        )
    )


def signs_of_misfit(
    points: Tensor, unknowns: Tensor, residuals: Tensor, noise: float, freedom: float, known: bool
) -> Iterator[str]:
    """What shows that residuals of observations are not noise, in words.

    Args:
        points: Where the values were measured, in units of the domain's size ``(m, d)``.
        unknowns: Index of the unknown that each is of ``(m,)``.
        residuals: ``(m,)``.
        noise: Standard deviation of the residuals per degree of freedom.
        freedom: Number of degrees of freedom.
        known: Whether residuals are in units of a known noise level.
    """
    if known and noise**2 > 1 + _LEAST * (2 / freedom) ** 0.5:
        yield f"the misfit is {noise:.2g} times their noise"
    alike, deviation = likeness(points, unknowns, residuals)
    if alike > _LEAST * deviation:
        yield f"misfits of neighbours are alike, with a correlation of {alike:.2f}"


def likeness(points: Tensor, unknowns: Tensor, residuals: Tensor) -> tuple[float, float]:
    r"""How alike residuals of neighbours are, and the deviation of that for independent noise.

    .. math:: c = \frac{\sum_{ij} w_{ij} r_i r_j}{\sum_{ij} w_{ij}\; \mathrm{mean}\,r^2}, \qquad
              \mathrm{var}\,c = \frac{\sum_{i<j} (w_{ij} + w_{ji})^2}{(\sum_{ij} w_{ij})^2}

    with :math:`w_{ij} = 1` if the observation j is one of the four next to i of the same unknown,
    or else 0. Source: Moran, Biometrika 37 (1950).

    Args:
        points: ``(m, d)``.
        unknowns: ``(m,)``.
        residuals: ``(m,)``.
    """
    pairs = []
    for unknown in unknowns.unique():
        rows = (unknowns == unknown).nonzero()[:, 0]
        count = min(_NEIGHBOURS, len(rows) - 1)
        if count < 1:
            continue
        near = torch.from_numpy(cKDTree(points[rows]).query(points[rows], count + 1)[1])
        itself = near == torch.arange(len(rows)).unsqueeze(1)
        itself[:, -1] |= ~itself.any(1)  # of more values at one place
        near = near[~itself].view(len(rows), count)
        pairs.append(torch.stack([rows.repeat_interleave(count), rows[near.flatten()]], 1))
    size = residuals.square().mean()
    if not pairs or not size > 0:
        return 0.0, 1.0
    both = torch.cat(pairs)
    alike = residuals[both].prod(1).mean() / size
    counts = both.sort(1).values.unique(dim=0, return_counts=True)[1]
    return float(alike), float(counts.square().sum()) ** 0.5 / len(both)
