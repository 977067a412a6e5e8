"""Time per epoch of ``kanlit fit`` and of a bare torch loop with the same network and data.

    python studies/overhead.py

Both take turns in one process on one thread; the table has medians over the rounds. The bare loop
has no logging, validation, checkpoints or grid adaptation; ``kanlit fit`` has all of them, with
its defaults.
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

RAW = ["--data", "SyntheticData", "--data.standardize", "false"]
# With the number of epochs of the paper's protocol.
CASES = {
    "f2 [1,10,1], 4000 points": ([*RAW, "--data.function", "f2"], 2000),
    "f1 [2,10,1], 4000 points": ([*RAW, "--data.function", "f1"], 2000),
    "Helmholtz [2,6,6,1], 4096 points": (["--data", "HelmholtzData"], 5000),
}


def bare(data: TensorDataModule, module: KANModule, epochs: int) -> float:
    """Seconds per epoch of the bare loop."""
    data.setup("fit")
    (batch,) = data.train_dataloader()
    module.problem = getattr(data, "problem", None)  # type: ignore[assignment]
    module.trainer = Trainer(barebones=True)  # optimizers are checked against its settings
    optimizer = module.configure_optimizers()
    start = time.perf_counter()
    for _ in range(epochs):
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()
    return (time.perf_counter() - start) / epochs


def fit(arguments: list[str], epochs: int) -> float:
    """Seconds per epoch of ``kanlit fit`` with its defaults, from its summary."""
    with tempfile.TemporaryDirectory() as root:
        sys.argv = ["kanlit", "fit", *arguments, "--trainer.max_epochs", str(epochs)]
        # G stays at 3, as in the bare loop, so that steps are equal.
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
    parser.add_argument("--epochs", type=int, help="per case (default: as in the protocol)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| case | bare loop, ms | kanlit fit, ms | difference, ms |\n|---|---|---|---|", flush=True
    )
    for name, (arguments, published) in CASES.items():
        epochs, loops, fits = options.epochs or published, [], []
        for _ in range(options.rounds):
            if "HelmholtzData" in arguments:
                loops.append(bare(HelmholtzData(), PDEModule(2, 1), epochs))
            else:
                data = SyntheticData(arguments[-1], standardize=False)
                module = RegressionModule(data.in_features, data.out_features)
                loops.append(bare(data, module, epochs))
            fits.append(fit(arguments, epochs))
        loop, whole = (1e3 * statistics.median(times) for times in (loops, fits))
        print(f"| {name} | {loop:.2f} | {whole:.2f} | {whole - loop:.2f} |", flush=True)


if __name__ == "__main__":
    main()
