"""Trains with two processes on one GPU by gloo and checks that their parameters are equal.

python studies/gpu_processes.py
"""

from __future__ import annotations

import argparse
import warnings

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import SyntheticData
from kanlit.modules import RegressionModule


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    device = torch.device(options.device, 0) if options.device == "cuda" else torch.device("cpu")
    module = RegressionModule(2, 1, hidden=[5], optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        strategy=DDPStrategy(parallel_devices=[device] * 2, process_group_backend="gloo"),
        max_epochs=options.epochs,
        callbacks=[GridAdaptationCallback(schedule={0: 3, options.epochs // 2: 6})],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, SyntheticData("f1", samples=500, standardize=False))
    own = torch.cat([p.detach().cpu().flatten() for p in module.parameters()])
    every = [torch.empty_like(own) for _ in range(trainer.world_size)]
    torch.distributed.all_gather(every, own)
    if trainer.is_global_zero:
        assert all(torch.equal(own, other) for other in every), "the processes differ"
        assert module.network.layers[0].grid_size == 6
        print(f"{trainer.world_size} processes on {device}: equal parameters after an extension")


if __name__ == "__main__":
    main()
