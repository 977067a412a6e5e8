"""Time per epoch of ``kanlit fit`` over a bare torch loop of the same net, data and optimizer.

    python studies/overhead.py

Both run in turn in one process, several rounds, one thread; the table gives medians over rounds.
The bare loop has no logging, no validation, no checkpoint and no grid adaptation; ``kanlit fit``
has all of them, as a user gets them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import statistics
import sys
import tempfile
import time

import torch
from lightning.pytorch import Trainer

from kanlit.cli import main as kanlit
from kanlit.data import HelmholtzData, SyntheticData, TensorDataModule
from kanlit.modules import KANModule, PDEModule, RegressionModule

# With the number of epochs that the paper's protocol gives each.
CASES = {
    "f2 [1,10,1], 4000 points": (["--data", "SyntheticData", "--data.function", "f2"], 2000),
    "f1 [2,10,1], 4000 points": (["--data", "SyntheticData", "--data.function", "f1"], 2000),
    "Helmholtz [2,6,6,1], 4096 points": (["--data", "HelmholtzData"], 5000),
}


def bare(data: TensorDataModule, module: KANModule, epochs: int) -> float:
    """Seconds an epoch of the plain loop."""
    data.setup("fit")
    (batch,) = data.train_dataloader()
    module.problem = getattr(data, "problem", None)  # type: ignore[assignment]
    module.trainer = Trainer(barebones=True)  # whose settings an optimizer is checked against
    optimizer = module.configure_optimizers()
    start = time.perf_counter()
    for _ in range(epochs):
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()
    return (time.perf_counter() - start) / epochs


def fit(arguments: list[str], epochs: int) -> float:
    """Seconds an epoch of ``kanlit fit`` with its defaults, as its summary says."""
    with tempfile.TemporaryDirectory() as root:
        sys.argv = ["kanlit", "fit", *arguments, "--trainer.max_epochs", str(epochs)]
        # G stays at 3, as in the bare loop: the same work a step.
        sys.argv += ["--adaptation.schedule", "[3, 3, 3, 3]", "--trainer.default_root_dir", root]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            kanlit()
    match = re.search(r"^seconds: (\S+)", printed.getvalue(), re.M)
    if match is None:
        raise SystemExit(f"kanlit fit said nothing of its time:\n{printed.getvalue()}")
    return float(match[1]) / epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, help="of each case; left out, the protocol's")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| case | bare loop, ms | kanlit fit, ms | more, ms |\n|---|---|---|---|", flush=True)
    for name, (arguments, published) in CASES.items():
        epochs, loops, fits = options.epochs or published, [], []
        for _ in range(options.rounds):
            if "HelmholtzData" in arguments:
                loops.append(bare(HelmholtzData(), PDEModule(2, 1), epochs))
            else:
                data = SyntheticData(arguments[-1])
                module = RegressionModule(data.in_features, data.out_features)
                loops.append(bare(data, module, epochs))
            fits.append(fit(arguments, epochs))
        loop, whole = (1e3 * statistics.median(times) for times in (loops, fits))
        print(f"| {name} | {loop:.2f} | {whole:.2f} | {whole - loop:.2f} |", flush=True)


if __name__ == "__main__":
    main()
