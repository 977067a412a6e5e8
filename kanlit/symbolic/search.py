"""Which function each edge is taken for, judged by the whole formula on data."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from kanlit.symbolic.compose import Edge, Place
from kanlit.symbolic.fit import CurveFit, fit_together

__all__ = ["Choice", "Found", "search"]

_EXACT = 1e-12  # error relative to the targets' spread under which nothing is left to find
_ALTERNATIVES = 6  # of a group or an edge that are tried
_SIMPLER = 3.0  # weight of complexity against log10(1 - R²) where the whole formula judges

Choice = Mapping[Place, CurveFit]
Refined = Callable[[Choice], tuple[sympy.Expr, float]]


@dataclass(frozen=True)
class Found:
    """A choice, its formula with refined constants, and that formula's relative error."""

    choice: Choice
    expression: sympy.Expr
    error: float

    @property
    def score(self) -> float:
        """The lower the better.

        Ten units of complexity, of the functions and one a constant of the formula, have to bring
        the error down tenfold.
        """
        complexity = sum(fit.candidate.complexity for fit in self.choice.values())
        constants = len(self.expression.atoms(sympy.Float))
        return float(np.log10(max(self.error, _EXACT))) + (complexity + constants) / 10


def search(edges: Sequence[Edge], refined: Refined, trials: int) -> Found:
    """Looks for the choice of functions whose formula is closest and simplest.

    A curve alone does not always tell which function it is: a network makes a product in more
    than one way, by squares, by logarithms and an exponential, or by a mixture of these, and no
    edge of it need look like what the formula has there. So three things are tried in turn, and
    the search ends where the formula is exact:

    - the best function of each edge by itself;
    - one function for all edges from an input, and one for all edges of each later layer, the
      likeliest combinations first: three quarters of the trials;
    - the best of these with one edge after another changed, until no change serves the formula.

    Args:
        edges: Those that have a choice.
        refined: The formula of a choice with its constants refined, and its error relative to
            the targets' spread.
        trials: Largest number of formulas that are refined; at least one is.
    """
    tried: dict[tuple[CurveFit, ...], Found] = {}

    def judge(choice: Choice) -> Found:
        key = tuple(choice[edge.place] for edge in edges)
        if key not in tried:
            tried[key] = Found(choice, *refined(choice))
        return tried[key]

    best = judge({edge.place: edge.fits[0] for edge in edges})
    for choice in _uniform_choices(edges):
        if best.error <= _EXACT or len(tried) >= 3 * trials // 4:
            break
        best = min(best, judge(choice), key=lambda found: found.score)
    changed = True
    while changed and best.error > _EXACT:
        changed = False
        for edge in sorted(edges, key=_clarity):
            for fit in sorted(edge.fits, key=_simpler)[:_ALTERNATIVES]:
                if len(tried) >= trials:
                    return best
                trial = judge({**best.choice, edge.place: fit})
                if trial.score < best.score:
                    best, changed = trial, True
    return best


def _simpler(fit: CurveFit) -> float:
    return fit.score + (_SIMPLER - 1) * fit.candidate.complexity


def _clarity(edge: Edge) -> float:
    """How much better the best function is than the next; the unclear edges are tried first."""
    return edge.fits[1].score - edge.fits[0].score if len(edge.fits) > 1 else np.inf


def _uniform_choices(edges: Sequence[Edge]) -> Iterator[Choice]:
    """Choices with one function a group of edges, the lowest sum of scores first."""
    groups: dict[tuple[int, int], list[Edge]] = {}
    for edge in edges:
        layer, p, _ = edge.place
        groups.setdefault((layer, p if layer == 1 else 0), []).append(edge)
    members = list(groups.values())
    ranked = [_shared(group) for group in members]
    if not all(ranked):
        return
    # The best combinations one after another: the next ones of each are a step down one list.
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
    """Functions that all edges of a group may have, by their mean score, with the fits.

    Edges from the same input get the same argument, too: the sums of products that a network makes
    of squares are then few.
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
