"""The Feynman tasks on the training points of the published runs, one draw per seed.

    python studies/feynman_draws.py

The code of arXiv 2601.18672 draws 5000 points of an equation by JAX's generator with the seed of
the run (44 to 46) and splits them by scikit-learn's ``train_test_split`` with the same seed. The
data class ``FeynmanData`` has one draw per equation for all seeds. This study reproduces the
published points bit for bit without either library and trains a recipe on them. Errors are on the
test grid.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanlit.benchmark import SUITES, TASKS, build_matrix, train
from kanlit.benchmark.published import published_medians
from kanlit.data import FeynmanData
from kanlit.data.base import Part

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_LOW = np.float32(-1 + 1e-6)

Words = NDArray[np.uint32]


class PublishedFeynmanData(FeynmanData):
    """The points of the published run with this seed."""

    def points(self, part: Part) -> Tensor:
        order = np.random.RandomState(self.seed).permutation(self.samples)
        kept = order[self.samples // 5 :] if part == "train" else order[: self.samples // 5]
        x = published_points(self.seed, self.samples, self.target.dim)
        return torch.as_tensor(x[kept]).to(torch.get_default_dtype())


def published_points(seed: int, count: int, dim: int) -> NDArray[np.float32]:
    """``jax.random.uniform(jax.random.key(seed), (count, dim), minval=-1 + 1e-6, maxval=1)``."""
    number = np.arange(count * dim, dtype=np.uint32)
    one, other = threefry((0, seed), np.zeros_like(number), number)
    unit = ((one ^ other) >> np.uint32(9) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)
    span = np.float32(1) - _LOW
    x = (unit * np.float64(span) + np.float64(_LOW)).astype(np.float32)  # one rounding, as XLA has
    return np.maximum(_LOW, x).reshape(count, dim)


def threefry(key: tuple[int, int], x: Words, y: Words) -> tuple[Words, Words]:
    """Threefry-2x32 with 20 rounds (Salmon et al., SC 2011)."""
    keys = [np.uint32(key[0]), np.uint32(key[1])]
    keys.append(keys[0] ^ keys[1] ^ np.uint32(0x1BD11BDA))
    x, y = x + keys[0], y + keys[1]
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            x = x + y
            y = (y << np.uint32(r) | y >> np.uint32(32 - r)) ^ x
        x = x + keys[(i + 1) % 3]
        y = y + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    every = [task.word for task in SUITES["feynman"].tasks]
    parser.add_argument("--tasks", nargs="+", default=every, choices=every, metavar="TASK")
    parser.add_argument("--seeds", type=int, nargs="+", default=[44, 45, 46])
    parser.add_argument("--recipe", default="best")
    parser.add_argument("--density", default="BlendedDensity")
    options = parser.parse_args()
    published = published_medians()
    published = published[(published["benchmark"] == "feynman") & (published["source"] == "paper")]
    columns = ["task", *(f"seed {seed}" for seed in options.seeds)]
    columns += ["median", "better published median", "published / ours"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for word in options.tasks:
        errors = [error_of(word, options.recipe, options.density, seed) for seed in options.seeds]
        median = statistics.median(errors)
        best = float(published[published["task"] == TASKS[word].name]["rel_l2"].min())
        cells = [f"{value:.3g}" for value in (*errors, median, best, best / median)]
        print(f"| {word} | {' | '.join(cells)} |", flush=True)


def error_of(word: str, recipe: str, density: str, seed: int) -> float:
    """The error on the test grid after a run on the published points."""
    data = {"class_path": "feynman_draws.PublishedFeynmanData", "init_args": {"seed": seed}}
    variant = {"data": data, "adaptation": {"density": density}}
    (run,) = build_matrix([TASKS[word]], {density: variant}, recipe, [seed]).runs
    row = train(run, threads=1).row
    if row.rel_l2 is None:
        raise RuntimeError(f"{word}, seed {seed}: {row.error}")
    return row.rel_l2


if __name__ == "__main__":
    main()
