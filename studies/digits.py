"""Compares densities on handwritten digits: 64 inputs, 10 classes.

    python studies/digits.py --out digits.csv --report digits.md

Each density trains the same networks on the same splits with full-batch Adam. Grids are adapted
before the first epoch, after a third of the epochs, where G grows, and after two thirds. They are
compared with uniform grids (over the range of the data, and fixed on [-1, 1]) and scikit-learn's
classifiers. Times are processor times of training; memory is the peak resident memory minus that
before the run. Runs in the CSV file are not repeated, so an interrupted command can be continued;
``--minutes`` limits its time.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import gc
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from digits_report import report
from lightning.pytorch import Callback, Trainer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchmetrics.functional.classification import multiclass_calibration_error

from kanlit import (
    BlendedDensity,
    ClassificationModule,
    CurvatureDensity,
    GridAdaptationCallback,
    ImportanceDensity,
    InputDensity,
    LossDensity,
    ScikitData,
    adapt_grids,
)
from kanlit.adaptation import AdaptationReport

WIDTHS = (16, 32)
GRIDS = ((3, 6), (5, 10))
CLASSES = 10
VALIDATION, TEST = 0.1, 0.3
BASELINE = "InputDensity"


class Placing(NamedTuple):
    """How knots are placed: a density and a uniform fraction; None keeps them fixed."""

    density: Callable[[], ImportanceDensity] | None
    uniform_mix: float = 0.2


PLACINGS = {
    BASELINE: Placing(InputDensity),
    "CurvatureDensity, power 1": Placing(lambda: CurvatureDensity(power=1.0)),
    "CurvatureDensity, power 0.5": Placing(lambda: CurvatureDensity(power=0.5)),
    "CurvatureDensity, layer": Placing(lambda: CurvatureDensity(scope="layer")),
    "LossDensity": Placing(LossDensity),
    "BlendedDensity": Placing(BlendedDensity),
    "uniform over the range": Placing(InputDensity, 1.0),
    "fixed on [-1, 1]": Placing(None),
}
FOREST = "HistGradientBoosting"


class Case(NamedTuple):
    """One run."""

    network: str
    method: str
    seed: int


class Adaptations(Callback):
    """Sums the processor time of grid adaptations, and keeps the last report."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.report: AdaptationReport | None = None
        self._begun = 0.0

    def before_grid_adaptation(self, *_: Any) -> None:
        self._begun = time.process_time()

    def on_grid_adaptation(self, trainer: Trainer, module: Any, report: AdaptationReport) -> None:
        self.seconds += time.process_time() - self._begun
        self.report = report

    def moved(self, network: torch.nn.Module) -> float:
        """Mean distance of the inputs' knots from those of InputDensity, in uniform steps."""
        if self.report is None:
            return float("nan")
        mine = self.report.layers[0]
        copied = copy.deepcopy(network)
        theirs = adapt_grids(copied, mine.samples, InputDensity(), mine.grid_size).layers[0]
        apart = (mine.new_breakpoints - theirs.new_breakpoints).abs()[:, 1:-1].mean(1)
        span = theirs.new_breakpoints[:, -1] - theirs.new_breakpoints[:, 0]
        return float((apart * mine.grid_size / span).mean())


def names() -> list[str]:
    """Names of the KANs, one for each width and grid."""
    return [f"[64,{w},10], G {first} to {last}" for w in WIDTHS for first, last in GRIDS]


def kan(network: str, method: str, seed: int, epochs: int) -> dict[str, float]:
    """Trains and tests a KAN."""
    place = names().index(network)
    width, (first, last) = WIDTHS[place // len(GRIDS)], GRIDS[place % len(GRIDS)]
    placing, adaptations = PLACINGS[method], Adaptations()
    callbacks: list[Callback] = []
    if placing.density is not None:
        schedule, mix = {0: first, epochs // 3: last, 2 * epochs // 3: last}, placing.uniform_mix
        adapting = GridAdaptationCallback(placing.density(), schedule, uniform_mix=mix)
        callbacks = [adapting, adaptations]
    data = ScikitData("digits", seed=seed, validation=VALIDATION, test=TEST)
    torch.manual_seed(seed)
    size = last if placing.density is None else first
    module = ClassificationModule(64, CLASSES, hidden=[width], grid_size=size)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    begun = time.process_time()
    trainer.fit(module, datamodule=data)
    seconds = time.process_time() - begun
    (tested,) = trainer.test(module, datamodule=data, verbose=False)
    return {
        **{name: tested[f"test/{name}"] for name in ("accuracy", "f1", "calibration_error")},
        "loss": tested["test/loss"],
        "seconds": seconds,
        "adapting": adaptations.seconds,
        "moved": adaptations.moved(module.network),
        "parameters": sum(p.numel() for p in module.parameters()),
    }


def scikit(network: str, seed: int) -> dict[str, float]:
    """Trains and tests a scikit-learn classifier with defaults except for the width."""
    data = ScikitData("digits", seed=seed, validation=VALIDATION, test=TEST)
    (x, y), rows = data.rows(), data.split()
    if network == FOREST:
        classifier = HistGradientBoostingClassifier(random_state=seed)
    else:
        layers = MLPClassifier((int(network.split(",")[1]),), max_iter=1000, random_state=seed)
        classifier = make_pipeline(StandardScaler(), layers)
    begun = time.process_time()
    classifier.fit(x[rows["train"]].numpy(), y[rows["train"]].numpy())
    seconds = time.process_time() - begun
    p = torch.tensor(classifier.predict_proba(x[rows["test"]].numpy())).float()
    labels = y[rows["test"]]
    hit = p.argmax(1) == labels
    scores = []
    for number in range(CLASSES):
        both = float((hit & (labels == number)).sum())
        count = float((labels == number).sum() + (p.argmax(1) == number).sum())
        scores.append(2 * both / count)
    parameters = 0
    if network != FOREST:
        net = classifier[-1]
        parameters = sum(w.size for w in [*net.coefs_, *net.intercepts_])
    return {
        "accuracy": float(hit.float().mean()),
        "f1": sum(scores) / CLASSES,
        "calibration_error": float(multiclass_calibration_error(p, labels, CLASSES)),
        "loss": float(-p[torch.arange(len(p)), labels].clamp(min=1e-12).log().mean()),
        "seconds": seconds,
        "adapting": 0.0,
        "moved": float("nan"),
        "parameters": parameters,
    }


def cases(seeds: int, methods: Sequence[str]) -> list[Case]:
    """The runs, by seed, so that an interrupted command has all methods for the finished seeds."""
    networks = [(network, method) for network in names() for method in PLACINGS]
    # The widths of the KANs, and the number of parameters of the smallest one.
    others = [(f"[64,{width},10]", "MLPClassifier") for width in (*WIDTHS, 180)]
    found = [*networks, *others, (FOREST, FOREST)]
    chosen = [run for run in found if run[1] in methods]
    return [Case(network, method, seed) for seed in range(seeds) for network, method in chosen]


def status(field: str) -> float:
    """A field of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def run(case: Case, epochs: int) -> dict[str, Any]:
    """A row of the CSV."""
    gc.collect()
    held = float("nan")
    if linux := sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)
        held = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    with contextlib.redirect_stdout(io.StringIO()):
        ours = case.method in PLACINGS
        found = kan(*case, epochs) if ours else scikit(case.network, case.seed)
    found["memory"] = status("VmHWM") - held if linux else held
    return {**case._asdict(), "epochs": epochs, **found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("digits.csv"))
    parser.add_argument("--report", type=Path, help="Markdown file; printed if omitted")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=150)
    known = [*PLACINGS, "MLPClassifier", FOREST]
    parser.add_argument("--methods", nargs="+", default=known, choices=known)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args(arguments)
    rows = pd.read_csv(options.out) if options.out.is_file() else pd.DataFrame()
    done = set() if rows.empty else set(rows[list(Case._fields)].itertuples(index=False, name=None))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for case in {case.method: case for case in cases(1, options.methods)}.values():
        run(case, 3)  # so that imports on first use do not count for any run
    end = time.monotonic() + 60 * options.minutes
    for case in cases(options.seeds, options.methods):
        if case in done:
            continue
        if time.monotonic() > end:
            print("time limit reached: run the command again to continue")
            return
        row = pd.DataFrame([run(case, options.epochs)])
        row.to_csv(options.out, mode="a", header=not options.out.is_file(), index=False)
    text = report(pd.read_csv(options.out), names(), list(PLACINGS))
    if options.report is None:
        print(text)
    else:
        options.report.write_text(text)


if __name__ == "__main__":
    main()
