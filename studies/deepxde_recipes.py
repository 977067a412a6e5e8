"""Trains DeepXDE by its documented recipes, and prints errors against seconds.

rivals.py runs this file in DeepXDE's environment; kanlit is not needed there. One JSON object per
line: processor seconds since the start of the process, less those for the errors themselves, and
the relative L2 error on given points.

Networks, points and optimizers are those of the demonstrations "Burgers equation", "Allen-Cahn
equation" and "Wave propagation with spatio-temporal multi-scale Fourier features" in DeepXDE's
documentation. The problems are kanlit's. For Allen-Cahn (diffusivity 1e-4 and periodic, where the
demonstration has 1e-3 and fixed ends) the network sees cos πx and sin πx in place of x, and the
ansatz is exact at t = 0 alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

# The Fourier features of the wave's demonstration exist for TensorFlow 1 only.
BACKENDS = {
    "burgers": "pytorch",
    "allen_cahn": "pytorch",
    "wave": "tensorflow.compat.v1",
}
EVERY = 1.1  # factor between two errors, in seconds


def burgers(dde: Any, watch: Any) -> None:
    domain = _domain(dde, -1.0)

    def residual(x: Any, u: Any) -> Any:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + u * u_x - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)

    conditions = [
        dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on_boundary: on_boundary),
        dde.icbc.IC(domain, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on_initial: on_initial),
    ]
    data = dde.data.TimePDE(
        domain, residual, conditions, num_domain=2540, num_boundary=80, num_initial=160
    )
    network = dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal")
    _adam_then_lbfgs(dde.Model(data, network), 15000, watch)


def allen_cahn(dde: Any, watch: Any) -> None:
    import torch

    def residual(x: Any, u: Any) -> Any:
        u_t, u_xx = dde.grad.jacobian(u, x, i=0, j=1), dde.grad.hessian(u, x, i=0, j=0)
        return u_t - 1e-4 * u_xx - 5 * (u - u**3)

    data = dde.data.TimePDE(
        _domain(dde, -1.0), residual, [], num_domain=8000, num_boundary=400, num_initial=800
    )
    network = dde.nn.FNN([3, 20, 20, 20, 1], "tanh", "Glorot normal")

    def inputs(x: Any) -> Any:
        angle = torch.pi * x[:, :1]
        return torch.cat([torch.cos(angle), torch.sin(angle), x[:, 1:]], 1)

    def ansatz(x: Any, u: Any) -> Any:
        return x[:, :1] ** 2 * torch.cos(torch.pi * x[:, :1]) + x[:, 1:] * u

    network.apply_feature_transform(inputs)
    network.apply_output_transform(ansatz)
    _adam_then_lbfgs(dde.Model(data, network), 40000, watch)


def wave(dde: Any, watch: Any) -> None:
    domain = _domain(dde, 0.0)

    def residual(x: Any, u: Any) -> Any:
        u_xx, u_tt = (dde.grad.hessian(u, x, i=j, j=j) for j in (0, 1))
        return u_tt - 4 * u_xx

    def solution(points: Any) -> Any:
        x, t = np.pi * points[:, :1], np.pi * points[:, 1:]
        return np.sin(x) * np.cos(2 * t) + np.sin(4 * x) * np.cos(8 * t) / 2

    conditions = [
        dde.icbc.DirichletBC(domain, solution, lambda _, on_boundary: on_boundary),
        dde.icbc.IC(domain, solution, lambda _, on_initial: on_initial),
        dde.icbc.OperatorBC(
            domain,
            lambda x, u, _: dde.grad.jacobian(u, x, i=0, j=1),
            lambda x, _: dde.utils.isclose(x[1], 0),
        ),
    ]
    data = dde.data.TimePDE(
        domain,
        residual,
        conditions,
        num_domain=360,
        num_boundary=360,
        num_initial=360,
        solution=solution,
        num_test=10000,
    )
    network = dde.nn.STMsFFN(
        [2, 100, 100, 100, 1], "tanh", "Glorot uniform", sigmas_x=[1], sigmas_t=[1, 10]
    )
    network.apply_feature_transform(lambda x: (x - 0.5) * 2 * np.sqrt(3))
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3)
    history, _ = model.train(iterations=0, verbose=0)
    weights = 5 / history.loss_train[0]
    model.compile("adam", lr=1e-3, loss_weights=weights, decay=("inverse time", 2000, 0.9))
    again = dde.callbacks.PDEPointResampler(period=1)
    model.train(iterations=10000, display_every=500, callbacks=[again, watch], verbose=0)
    watch.record()


def _domain(dde: Any, left: float) -> Any:
    return dde.geometry.GeometryXTime(dde.geometry.Interval(left, 1), dde.geometry.TimeDomain(0, 1))


def _adam_then_lbfgs(model: Any, iterations: int, watch: Any) -> None:
    model.compile("adam", lr=1e-3)
    model.train(iterations=iterations, callbacks=[watch], verbose=0)
    watch.record()
    if not watch.is_over():
        model.compile("L-BFGS")
        model.train(callbacks=[watch], verbose=0)
        watch.record()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problem", choices=sorted(BACKENDS))
    parser.add_argument("--points", type=Path, required=True, help=".npz with x and u")
    parser.add_argument("--cap", type=float, required=True, help="processor seconds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["DDE_BACKEND"] = BACKENDS[options.problem]
    output, sys.stdout = sys.stdout, sys.stderr  # where DeepXDE reports its progress
    import deepxde as dde

    dde.config.set_random_seed(options.seed)
    given = np.load(options.points)

    class Watch(dde.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Prints the error now and then, and ends training at the cap."""

        aside = 0.0
        due = 1.0

        def seconds(self) -> float:
            return time.process_time() - self.aside

        def is_over(self) -> bool:
            return self.seconds() > options.cap

        def on_epoch_end(self) -> None:
            if self.seconds() > self.due:
                self.record()
            self.model.stop_training = self.is_over()

        def record(self) -> None:
            spent, before = self.seconds(), time.process_time()
            error = self.model.predict(given["x"]).astype(float) - given["u"]
            row = {
                "iteration": int(self.model.train_state.iteration),
                "seconds": round(spent, 2),
                "rel_l2": float(np.linalg.norm(error) / np.linalg.norm(given["u"])),
            }
            print(json.dumps(row), file=output, flush=True)
            self.due = EVERY * spent
            self.aside += time.process_time() - before

    {"burgers": burgers, "allen_cahn": allen_cahn, "wave": wave}[options.problem](dde, Watch())


if __name__ == "__main__":
    main()
