"""Searches the function that replaces each edge by the error of the whole formula."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from kanlit.symbolic.compose import Edge, Place
from kanlit.symbolic.fit import CurveFit, fit_together

__all__ = ["Choice", "Criterion", "SearchResult", "Trial", "search"]

_EXACT = 1e-12  # relative error below which the search stops
_ALTERNATIVES = 6  # functions tried per group or edge
_SIMPLER = 3.0  # weight of complexity against log10(1 - R²) in the search
_NOT_FINITE = (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan)

Choice = Mapping[Place, CurveFit]


@dataclass(frozen=True)
class Criterion:
    r"""Weighs the error of a formula against its complexity; lower is better.

    Without noise, a tenth of a decade of the error is worth one unit k of complexity. With noise
    of known variance, no formula can be much more accurate than the noise, and the Bayesian
    information criterion decides:

    .. math:: n \log \max(\mathrm{mse}, \sigma^2 / 2) + k \log n

    Half the variance, because that of an inaccurate network is too large.

    Attributes:
        rows: n.
        noise: σ², relative to the variance of the targets; 0 if there is none.

    Source: Schwarz, "Estimating the dimension of a model", Annals of Statistics 6 (1978).
    """

    rows: int = 1
    noise: float = 0.0

    def __call__(self, error: float, complexity: int) -> float:
        """The score of a formula with this relative error."""
        if self.noise > 0:
            square = max(error**2, self.noise / 2)
            return float(self.rows * np.log(square) + complexity * np.log(self.rows))
        return float(np.log10(max(error, _EXACT))) + complexity / 10


@dataclass(frozen=True)
class Trial:
    """A choice of functions with refined constants.

    Attributes:
        error: Relative to the standard deviation of the targets.
        constants: Number of its constants.
        composed: Returns its formula, which takes longer than the fit of its constants.
    """

    error: float
    constants: int
    composed: Callable[[], sympy.Expr]


@dataclass(frozen=True)
class SearchResult:
    """A choice of functions, its formula with refined constants, and the relative error.

    Attributes:
        score: By the criterion; the complexity is that of all functions plus the number of
            constants.
    """

    choice: Choice
    expression: sympy.Expr
    error: float
    score: float


def search(
    edges: Sequence[Edge],
    refined: Callable[[Choice], Trial],
    trials: int,
    criterion: Criterion | None = None,
    advance: Callable[[int], None] = lambda steps: None,
) -> SearchResult:
    """Searches the choice of functions with the best :class:`Criterion`.

    The curve of an edge does not always determine its function: a network can represent a product
    by squares, by logarithms and an exponential, or by a mixture. The search therefore tries, and
    stops as soon as a formula is exact:

    - the best function of each edge separately;
    - one function for all edges from an input, and one for all edges of each later layer, best
      combinations first, with three quarters of the trials;
    - changes of single edges of the best formula, until none improves it.

    Args:
        edges: The edges that have candidate functions.
        refined: Refines the constants of a choice.
        trials: Largest number of formulas to refine; at least one is.
        criterion: Compares formulas; by default that of targets without noise.
        advance: Called with the number of finished trials, ``trials`` in total.
    """
    judged = criterion or Criterion()
    tried: set[tuple[CurveFit, ...]] = set()

    def better(choice: Choice, best: SearchResult | None) -> SearchResult | None:
        """The result of a choice that improves on the best."""
        key = tuple(choice[edge.place] for edge in edges)
        if key in tried:
            return None
        tried.add(key)
        advance(1)
        trial = refined(choice)
        complexity = sum(fit.candidate.complexity for fit in choice.values())
        score = judged(trial.error, complexity + trial.constants)
        if best is not None and not score < best.score:
            return None
        expression = trial.composed()
        if expression.has(*_NOT_FINITE):  # numbers that numpy rounds, such as artanh(1)
            return None if best is not None else SearchResult(choice, expression, np.inf, np.inf)
        return SearchResult(choice, expression, trial.error, score)

    best = better({edge.place: edge.fits[0] for edge in edges}, None)
    assert best is not None
    for choice in _uniform_choices(edges):
        if best.error <= _EXACT or len(tried) >= 3 * trials // 4:
            break
        best = better(choice, best) or best
    changed = True
    while changed and best.error > _EXACT:
        changed = False
        for edge in sorted(edges, key=_clarity):
            for fit in sorted(edge.fits, key=_simpler)[:_ALTERNATIVES]:
                if len(tried) >= trials:
                    return best
                found = better({**best.choice, edge.place: fit}, best)
                if found is not None:
                    best, changed = found, True
    advance(trials - len(tried))
    return best


def _simpler(fit: CurveFit) -> float:
    return fit.score + (_SIMPLER - 1) * fit.candidate.complexity


def _clarity(edge: Edge) -> float:
    """Score difference of the two best functions; ambiguous edges are tried first."""
    return edge.fits[1].score - edge.fits[0].score if len(edge.fits) > 1 else np.inf


def _uniform_choices(edges: Sequence[Edge]) -> Iterator[Choice]:
    """Yields choices with one function per group of edges, lowest sum of scores first."""
    groups: dict[tuple[int, int], list[Edge]] = {}
    for edge in edges:
        layer, p, _ = edge.place
        groups.setdefault((layer, p if layer == 1 else 0), []).append(edge)
    members = list(groups.values())
    ranked = [_shared(group) for group in members]
    if not all(ranked):
        return
    # Best-first enumeration: successors of a combination take the next function of one group.
    first = (0,) * len(ranked)
    waiting = [(sum(each[0][0] for each in ranked), first)]
    seen = {first}
    while waiting:
        score, places = heapq.heappop(waiting)
        choice: dict[Place, CurveFit] = {}
        for group, each, place in zip(members, ranked, places, strict=True):
            choice |= {edge.place: fit for edge, fit in zip(group, each[place][1], strict=True)}
        yield choice
        for index, place in enumerate(places):
            following = (*places[:index], place + 1, *places[index + 1 :])
            if place + 1 < len(ranked[index]) and following not in seen:
                seen.add(following)
                step = ranked[index][place + 1][0] - ranked[index][place][0]
                heapq.heappush(waiting, (score + step, following))


def _shared(group: Sequence[Edge]) -> list[tuple[float, list[CurveFit]]]:
    """Functions that fit all edges of a group, ordered by mean score, with their fits.

    Edges from the same input also get the same a and b, which keeps the formula short.
    """
    by_name = [{fit.candidate.name: fit for fit in edge.plausible} for edge in group]
    curves = np.stack([edge.curve for edge in group], axis=1)
    found = []
    for name in by_name[0]:
        if all(name in each for each in by_name):
            fits = [each[name] for each in by_name]
            if len(group) > 1 and len({edge.place[:2] for edge in group}) == 1:
                fits = fit_together(fits, group[0].samples, curves) or fits
            found.append((sum(map(_simpler, fits)) / len(fits), fits))
    return sorted(found, key=lambda pair: pair[0])[:_ALTERNATIVES]
