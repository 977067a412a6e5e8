"""Formats numbers and tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kanlit.benchmark.statistics import Interval, Outcomes

__all__ = [
    "NONE",
    "cell",
    "number",
    "numbers",
    "percent",
    "percents",
    "share",
    "table",
    "wins_ties_losses",
]

NONE = "–"
_LONGEST = 90  # characters of a message in a table


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """Lines of a table whose first ``words`` columns are left-aligned, the others right-aligned."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    lines = [header, rule, *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def number(value: float, digits: int = 3) -> str:
    """Formats ``digits`` significant digits; scientific below 0.01 and from 10 000."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -2 <= power < 4:
        return f"{value:.{max(digits - 1 - power, 0)}f}"
    return f"{mantissa}e{power}"


def percent(value: float) -> str:
    """Formats a signed fraction in percent."""
    if not math.isfinite(value):
        return number(value) + (" %" if math.isinf(value) else "")
    return f"{100 * value:+.{1 if abs(value) < 10 else 0}f} %"


def percents(interval: Interval) -> str:
    """Formats an interval of signed fractions in percent."""
    ends = [
        number(end) if not math.isfinite(end) else f"{100 * end:+.{1 if abs(end) < 0.1 else 0}f}"
        for end in (interval.low, interval.high)
    ]
    return f"[{', '.join(ends)}]"


def numbers(interval: Interval) -> str:
    """Formats an interval of numbers."""
    return f"[{number(interval.low, 2)}, {number(interval.high, 2)}]"


def share(value: float) -> str:
    """Formats a fraction in percent."""
    return NONE if math.isnan(value) else f"{100 * value:.1f} %"


def cell(words: object) -> str:
    """Formats text as one short line that does not break a table."""
    line = " ".join(str(words).split()).replace("|", "\\|")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def wins_ties_losses(outcomes: Outcomes) -> str:
    """Formats the three counts."""
    return f"{outcomes.wins} / {outcomes.ties} / {outcomes.losses}"
