"""Compares training steps, forward passes and memory of KAN packages and an MLP.

    pip install -e '.[bench]'
    python studies/packages.py --out packages.jsonl --plot docs/images/packages.png

Processor time on one thread; all contenders of a case take turns, and times are medians over the
rounds. Each contender is a separate process, and its memory is that of a new process, see
worker.py. Results are appended to --out, one row per contender and case, and are not measured
again by a second command; the table has all rows of this file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import matplotlib
from contenders import CONTENDERS, Case
from matplotlib.figure import Figure
from measuring import Measurement, Worker, measure

SMALL = [Case((2, 10, 1), grid_size, 4000) for grid_size in (3, 5, 12, 100, 200, 500)]
LARGE = [
    Case((64, 64, 64), 32, 1024),
    Case((784, 64, 10), 32, 256),
    Case((784, 256, 10), 16, 1024),
]
BASELINES = ("inkan", "dense recursion")
COLORS = {"kanlit": "#0072B2", "kanlit, plain torch": "#56B4E9", "dense recursion": "#000000"}
OTHERS = iter(["#D55E00", "#009E73", "#CC79A7", "#E69F00", "#999999"])


def read(path: Path) -> list[Measurement]:
    """Reads the existing rows."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        given = row["case"]
        row["case"] = Case(tuple(given["widths"]), given["grid_size"], given["batch"])
    return [Measurement(**row) for row in rows]


def write(path: Path, found: Sequence[Measurement]) -> None:
    """Appends rows."""
    with path.open("a") as file:
        for each in found:
            print(json.dumps(asdict(each) | {"case": each.case.as_dict()}), file=file)


def table(found: Sequence[Measurement]) -> str:
    """One row per contender and case; ratios are to the baselines of the same case."""
    lines = [
        "| case | network | step, ms | of inkan | of dense | forward, ms | memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    steps = {(each.case, each.contender): each.step for each in found}
    for each in found:
        if each.step is None or each.forward is None:
            lines.append(f"| {each.case} | {each.contender} | {each.failure} | | | | |")
            continue
        ratios = []
        for name in BASELINES:
            base = steps.get((each.case, name))
            ratios.append(f"{each.step / base:.2f}" if base else "–")
        memory = "–" if each.memory is None else f"{each.memory:.1f}"
        cells = [str(each.case), each.contender, f"{each.step:.2f}", *ratios]
        lines.append("| " + " | ".join([*cells, f"{each.forward:.2f}", memory]) + " |")
    return "\n".join(lines)


def plot(found: Sequence[Measurement], path: Path) -> None:
    """Step time and memory against G on the small network."""
    matplotlib.rcParams.update({"font.size": 8})
    figure = Figure(figsize=(7.0, 2.9), layout="constrained")
    axes = figure.subplots(1, 2)
    colors = {name: COLORS.get(name) or next(OTHERS) for name in CONTENDERS}
    for name in CONTENDERS:
        rows = [
            e for e in found if e.contender == name and e.case.widths == SMALL[0].widths and e.step
        ]
        rows.sort(key=lambda each: each.case.grid_size)
        style = {"color": colors[name], "marker": "o", "markersize": 3, "linewidth": 1.2}
        sizes = [each.case.grid_size for each in rows]
        axes[0].plot(sizes, [each.step or 0.0 for each in rows], label=name, **style)
        axes[1].plot(sizes, [each.memory or 0.0 for each in rows], **style)
    for axis, title in zip(axes, ("training step, ms", "memory of a step, MiB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="G", title=title)
        axis.grid(alpha=0.3, which="both", linewidth=0.4)
    figure.legend(loc="outside right center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("packages.jsonl"), help="file of the rows")
    parser.add_argument("--plot", type=Path, help="PNG file of the growth with G")
    parser.add_argument("--cases", choices=("small", "large", "all", "none"), default="all")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--batch", type=int, help="points per step (default: those of the case)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=6.0, help="memory limit per contender, GiB")
    options = parser.parse_args()
    chosen = {"small": SMALL, "large": LARGE, "all": SMALL + LARGE, "none": []}[options.cases]
    done = read(options.out)
    with ExitStack() as stack:
        present = [name for name in options.contenders if CONTENDERS[name].installed()]
        cases = [
            Case(case.widths, case.grid_size, options.batch or case.batch)
            for case in chosen
            if {(case, name) for name in present} - {(each.case, each.contender) for each in done}
        ]
        workers = [stack.enter_context(Worker(name)) for name in present] if cases else []
        for case in cases:
            write(options.out, measure(case, workers, options.rounds, options.limit))
            print(f"measured: {case}", flush=True)
    rows = read(options.out)
    known = {(each.case, each.contender): each for each in rows}  # the latest of each
    for case in dict.fromkeys(each.case for each in rows):
        for name in options.contenders:
            if not CONTENDERS[name].installed():
                row = Measurement(name, case, failure="not installed")
                known.setdefault((case, name), row)
    order = list(CONTENDERS)
    rows = sorted(known.values(), key=lambda e: (str(e.case.widths), e.case.grid_size,
                                                 order.index(e.contender)))  # fmt: skip
    versions = [
        f"{contender.package} {contender.version()}"
        for contender in CONTENDERS.values()
        if contender.installed()
    ]
    print(", ".join(dict.fromkeys(versions)))
    print(table(rows))
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
