"""The commands of ``kanlit`` and their help texts. Imports nothing."""

from __future__ import annotations

__all__ = [
    "APART",
    "COMMANDS",
    "DESCRIPTION",
    "GROUPS",
    "HELP",
    "HOMES",
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
    "predict": " For a table of your own, from the checkpoint alone: kanlit predict --ckpt_path "
    "FILE --input TABLE, explained by kanlit predict --input --help. The options here are for the "
    "points of a data class.",
}

# Commands with options of their own instead of a run's.
APART = {
    "plot": "Draws a checkpoint's network, its errors, and the history of knots and losses.",
    "formula": "Extracts a closed formula from a checkpoint's network.",
    "export": "Writes a checkpoint's network as ONNX or torch.export, to run without kanlit.",
    "benchmark": "Runs the paper's benchmarks over densities and seeds, and reports on them.",
}

# The module of each; imported only when the command is called.
HOMES = {
    "plot": "kanlit.cli.plot",
    "formula": "kanlit.cli.formula",
    "export": "kanlit.cli.export",
    "benchmark": "kanlit.cli.benchmark",
}

HELP = {
    "data": "Data class by its short name, or a class of your own by its path; its settings "
    "follow as --data.SETTING. What they are: --data.help CLASS.",
    "model": "RegressionModule, PDEModule for a differential equation (the default for "
    "EquationData and HelmholtzData), or ClassificationModule for classes (for ClassTableData and "
    "ScikitData); its settings follow as --model.SETTING, such as --model.hidden '[10]'. "
    "What they are: --model.help CLASS.",
    "ckpt_path": "Checkpoint: the path of a .ckpt file, or last or best for that of the newest run "
    "under --trainer.default_root_dir. fit resumes from it, and looks where it will write itself.",
    "init_from": "Checkpoint whose weights, grids and scales initialize a new run, from epoch 0 "
    "and with a new optimizer. Ignored if --ckpt_path finds a run to resume.",
    "seed_everything": "Seed of the weights and of all other random numbers; true draws one.",
}

GROUPS = {"trainer": "Trainer", "data": "Data", "model": "Model", "checkpoint": "Checkpoints"}
