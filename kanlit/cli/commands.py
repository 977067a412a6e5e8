"""The commands of ``kanlit`` and their help texts. Imports nothing."""

from __future__ import annotations

__all__ = [
    "APART",
    "COMMANDS",
    "DESCRIPTION",
    "GROUPS",
    "HELP",
    "INTERRUPTED",
    "MORE",
]

INTERRUPTED = 130  # exit status that shells use, 128 + SIGINT

DESCRIPTION = "Trains Kolmogorov-Arnold networks whose grids adapt."

COMMANDS = {
    "fit": "Trains a network, tests it and saves its checkpoints in a new run folder.",
    "validate": "Evaluates a checkpoint on the validation data.",
    "test": "Evaluates a checkpoint on the test data.",
    "predict": "Writes a checkpoint's predictions as a table.",
}

# Appended to the description above in a command's own help.
MORE = {
    "predict": " For your own table, only a checkpoint is needed: kanlit predict --ckpt_path "
    "FILE --input TABLE; kanlit predict --input --help explains it. The options below are for the "
    "data of a data class.",
}

# Commands with their own options instead of those of a run, each a module of this package, which
# is imported only when called.
APART = {
    "compare": "Prints trained runs side by side, with the settings that differ and errors.",
    "plot": "Draws a checkpoint's network, its errors, and the history of knots and losses.",
    "formula": "Extracts a closed formula from a checkpoint's network.",
    "export": "Writes a checkpoint's network as ONNX or torch.export, to run without kanlit.",
    "tune": "Searches widths, grids and other settings by Optuna, and keeps the best config.",
    "benchmark": "Runs the paper's benchmarks over densities and seeds, and reports on them.",
}

HELP = {
    "data": "Data class by its short name, or your own class by its path. Its settings are "
    "--data.SETTING; --data.help CLASS lists them.",
    "model": "RegressionModule, PDEModule for a differential equation (the default for "
    "EquationData and HelmholtzData), or ClassificationModule for classes (for ClassTableData and "
    "ScikitData). Its settings are --model.SETTING, such as --model.hidden '[10]'; "
    "--model.help CLASS lists them.",
    "ckpt_path": "Checkpoint: the path of a .ckpt file, or last or best for the newest run under "
    "--trainer.default_root_dir. fit resumes from it; it looks in the folder it will write to.",
    "init_from": "Checkpoint whose weights, grids and scales initialize a new run, from epoch 0 "
    "and with a new optimizer. Ignored if --ckpt_path finds a run to resume.",
    "name": "Name of the run's folder under lightning_logs, instead of version_N.",
    "seed_everything": "Seed of the weights and all other random numbers; true draws a seed.",
}

GROUPS = {"trainer": "Trainer", "data": "Data", "model": "Model", "checkpoint": "Checkpoints"}
