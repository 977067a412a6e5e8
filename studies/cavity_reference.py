"""The flow in the cavity by finite differences, to measure errors below those of published tables.

    python studies/cavity_reference.py lightning_logs/version_0/checkpoints/last.ckpt

The stream function ψ solves ``ψ_y Δψ_x - ψ_x Δψ_y = Δ²ψ / Re``, by central differences and Newton's
method on two grids; Richardson's extrapolation removes the error of second order. A checkpoint of
``configs/equations/cavity.yaml`` is compared with it too.
"""

from __future__ import annotations

import argparse
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import CubicSpline
from scipy.sparse.linalg import spsolve

from kanlit.modules import PDEModule
from kanlit.problems.equations.cavity import GHIA_U, GHIA_V

Field = NDArray[np.float64]

_GRID = 64  # intervals of the grid on which extrapolated values are given


def velocity(intervals: int, reynolds: float) -> tuple[Field, Field]:
    """u and v at the inner nodes, ``(intervals - 1, intervals - 1)`` each, x first."""
    h, inner = 1 / intervals, intervals - 1

    def operator(*diagonals: float) -> sparse.csr_matrix:
        ends = len(diagonals) // 2
        return sparse.diags(
            list(diagonals), range(-ends, ends + 1), (inner, inner), dtype=float
        ).tolil()

    one, first = sparse.identity(inner), operator(-1, 0, 1) / (2 * h)
    second, third = operator(1, -2, 1) / h**2, operator(-1, 2, 0, -2, 1)
    fourth = operator(1, -4, 6, -4, 1)
    # Beyond a wall, ψ is that of the node before it; at the lid, 2h more.
    third[0, 0], third[-1, -1] = -1, 1
    fourth[0, 0] = fourth[-1, -1] = 7
    third, fourth = third / (2 * h**3), fourth / h**4
    lid = np.zeros((inner, inner))
    lid[:, -1] = 1
    lid_third, lid_fourth = lid.ravel() / h**2, 2 * lid.ravel() / h**3

    along_x, along_y = sparse.kron(first, one).tocsr(), sparse.kron(one, first).tocsr()
    laplace_x = (sparse.kron(third, one) + sparse.kron(first, second)).tocsr()
    laplace_y = (sparse.kron(second, first) + sparse.kron(one, third)).tocsr()
    twice = sparse.kron(fourth, one) + 2 * sparse.kron(second, second) + sparse.kron(one, fourth)
    psi = np.zeros(inner**2)
    for _ in range(20):
        x, y = along_x @ psi, along_y @ psi
        lx, ly = laplace_x @ psi, laplace_y @ psi + lid_third
        residual = y * lx - x * ly - (twice @ psi + lid_fourth) / reynolds
        slope = (
            sparse.diags(y) @ laplace_x
            + sparse.diags(lx) @ along_y
            - sparse.diags(x) @ laplace_y
            - sparse.diags(ly) @ along_x
            - twice / reynolds
        )
        step = spsolve(slope.tocsc(), -residual)
        psi += step
        if abs(step).max() < 1e-10:
            break
    return (along_y @ psi).reshape(inner, inner), -(along_x @ psi).reshape(inner, inner)


@lru_cache
def centrelines(reynolds: float = 100.0, intervals: int = 256) -> Field:
    """u, then v, where Ghia et al. tabulate them ``(30,)``."""
    lines = []
    for count in (intervals // 2, intervals):
        stride, middle = count // _GRID, count // 2 - 1
        u, v = velocity(count, reynolds)
        lines.append(np.stack([u[middle, stride - 1 :: stride], v[stride - 1 :: stride, middle]]))
    u, v = (4 * lines[1] - lines[0]) / 3
    nodes = np.linspace(0, 1, _GRID + 1)
    along_y = CubicSpline(nodes, np.concatenate([[0], u, [1]]))
    along_x = CubicSpline(nodes, np.concatenate([[0], v, [0]]))
    return np.concatenate([along_y([y for y, _ in GHIA_U]), along_x([x for x, _ in GHIA_V])])


def learned(checkpoint: Path) -> Field:
    """u, then v, of a network at the same points ``(30,)``."""
    module = PDEModule.load_from_checkpoint(checkpoint, map_location="cpu").eval().double()
    points = [(0.5, y) for y, _ in GHIA_U] + [(x, 0.5) for x, _ in GHIA_V]
    with torch.no_grad():
        found = module(torch.tensor(points).double()).numpy()
    return np.concatenate([found[: len(GHIA_U), 0], found[len(GHIA_U) :, 1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="*", type=Path)
    fine = centrelines()
    others = {
        "half the resolution": centrelines(intervals=128),
        "Ghia et al.": np.array([value for _, value in (*GHIA_U, *GHIA_V)]),
    }
    others |= {str(each): learned(each) for each in parser.parse_args().checkpoints}
    for name, other in others.items():
        difference = np.linalg.norm(other - fine) / np.linalg.norm(fine)
        print(f"{name}: relative L2 {difference:.1e}, at most {abs(other - fine).max():.1e}")


if __name__ == "__main__":
    main()
