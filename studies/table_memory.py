"""Peak memory from reading a table to an epoch of training batches.

    python studies/table_memory.py

Each format is read in a separate process, which sets up :class:`kanlit.TableData`, fits the
scalers and runs through one epoch of mini-batches. Memory at the start, with kanlit and the
library of the format imported, is subtracted. Linux only: values are from /proc.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 2**20
LIBRARIES = {"csv": "pandas", "tsv": "pandas", "npz": "numpy", "parquet": "pyarrow.parquet"}


def held(field: str) -> float:
    """Current (VmRSS) or peak (VmHWM) memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def write(path: Path, rows: int, inputs: int, targets: int) -> None:
    """A table of normal numbers with columns x1, x2, … and y1, y2, …."""
    import numpy as np
    import pandas as pd

    names = [f"{'x' if j < inputs else 'y'}{j + 1 - inputs * (j >= inputs)}"
             for j in range(inputs + targets)]  # fmt: skip
    values = np.random.default_rng(0).standard_normal((rows, len(names)))
    frame = pd.DataFrame(values, columns=names)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".npz":
        np.savez(path, x=values[:, :inputs], y=values[:, inputs:])
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        frame.to_csv(path, index=False, sep=separator, float_format="%.9g")


def read(path: Path, inputs: int, targets: int, batch_size: int) -> None:
    """Prints MiB above the start, and seconds: after set-up, with scalers, after an epoch."""
    importlib.import_module(LIBRARIES[path.suffix[1:]])
    from kanlit import TableData

    names = [f"x{j + 1}" for j in range(inputs)], [f"y{j + 1}" for j in range(targets)]
    before, begun = held("VmRSS"), time.perf_counter()
    data = TableData(str(path), *names, batch_size=batch_size)
    data.setup("fit")
    found = [held("VmHWM") - before, time.perf_counter() - begun]
    data.standardization()
    found.append(held("VmHWM") - before)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for _ in loader:
            pass
    found += [held("VmHWM") - before, held("VmRSS") - before]
    print(*found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--inputs", type=int, default=8)
    parser.add_argument("--targets", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--formats", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.inputs, arguments.targets
    if arguments.read:
        read(arguments.read, *sizes, arguments.batch_size)
        return
    values = arguments.rows * sum(sizes)
    print(
        f"{arguments.rows} rows of {sizes[0]} inputs and {sizes[1]} targets: "
        f"{4 * values / MIB:.0f} MiB in float32, {8 * values / MIB:.0f} in float64.\n\n"
        "| format | file, MiB | peak of set-up, MiB | with scalers | with an epoch "
        "| held afterwards | seconds of set-up |\n|---|---|---|---|---|---|---|"
    )
    for suffix in arguments.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"table.{suffix}")
            write(path, arguments.rows, *sizes)
            size = path.stat().st_size / MIB
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--read", str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
        setup, seconds, scalers, epoch, after = map(float, done.stdout.split())
        print(
            f"| {suffix} | {size:.0f} | {setup:.0f} | {scalers:.0f} | {epoch:.0f} | {after:.0f} "
            f"| {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
