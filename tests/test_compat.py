"""What kanlit needs of private names of torch, Lightning and jsonargparse, one test a name."""

from __future__ import annotations

import ast
import gc
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

import kanlit
from kanlit import compat
from kanlit.cli.app import KanlitCLI
from kanlit.nn import KANLayer

pytestmark = pytest.mark.filterwarnings("ignore")

# -- torch ----------------------------------------------------------------------------------------


def test_a_transform_is_seen_from_within() -> None:
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(compat.transforms_are_active())
        return x

    torch.vmap(look)(torch.rand(3))
    assert [*seen, compat.transforms_are_active()] == [True, False]


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def test_whoever_has_to_see_operations_is_known() -> None:
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(compat.operations_are_watched())
        return x + 1

    torch.vmap(look)(torch.rand(3))
    torch.jit.trace(look, torch.rand(3), check_trace=False)
    with Passing():
        look(torch.rand(3))
    with forward_ad.dual_level():
        look(torch.rand(3))
    assert seen == [True] * 4
    assert not compat.operations_are_watched()


def test_a_batch_of_vmap_has_no_storage() -> None:
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(compat.has_storage(x))
        return x

    torch.vmap(look)(torch.rand(3))
    assert [*seen, compat.has_storage(torch.rand(3))] == [False, True]


def test_a_compiled_module_leads_to_its_original_and_names_it_in_its_state() -> None:
    module = nn.Linear(2, 1)
    compiled: Any = torch.compile(module)
    assert compat.original_module(compiled) is module
    assert compat.original_module(module) is module
    names = [f"{compat.COMPILED_PREFIX}{name}" for name in module.state_dict()]
    assert list(compiled.state_dict()) == names


def test_lbfgs_counts_parameters_again_that_have_grown() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.LBFGS([weight], max_iter=2)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.utils.swap_tensors(weight, nn.Parameter(torch.ones(5)))
    weight.grad = None
    optimizer.state.clear()
    compat.forget_parameter_count(optimizer)
    optimizer.step(closure)
    assert weight.abs().max() < 1


def test_persistent_workers_go_on_where_they_were_after_a_loader_is_read_once_more() -> None:
    loader = DataLoader(
        TensorDataset(torch.arange(4)),
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    running = iter(loader)
    assert next(running)[0] == 0
    assert [int(x) for (x,) in compat.own_iterator(loader)] == [0, 1, 2, 3]
    assert [int(x) for (x,) in running] == [1, 2, 3]


# -- Lightning ------------------------------------------------------------------------------------


class Small(LightningModule):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(1, width)
        self.hooks: list[str] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.hooks.append(getattr(self, compat.RUNNING_HOOK))
        assert compat.trainer_of(self) is self.trainer
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_notes_the_running_hook_and_the_trainer_in_the_module() -> None:
    module = Small()
    assert compat.trainer_of(module) is None
    trainer = Trainer(fast_dev_run=True, accelerator="cpu", enable_progress_bar=False)
    trainer.fit(module, DataLoader(TensorDataset(torch.rand(2, 1))))
    assert module.hooks == ["training_step"]


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_a_logger_writes_under_the_version_that_is_set(kind: Any, tmp_path: Path) -> None:
    logger = kind(tmp_path)
    assert compat.version_of(logger) is None
    assert compat.version_of(kind(tmp_path, version=7)) == 7
    compat.set_version(logger, 3)
    assert Path(logger.log_dir).name == "version_3"
    compat.set_version(logger, None)
    assert logger.version == 0


def test_a_trainer_writes_into_the_root_folder_that_is_set(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False)
    compat.set_root_folder(trainer, str(tmp_path))
    assert trainer.default_root_dir == str(tmp_path)


def test_a_restarted_loop_takes_its_epoch_as_finished() -> None:
    loop = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit_loop
    loop.restarting = loop.epoch_loop.restarting = True
    compat.mark_epoch_end(loop)
    assert not loop.restarting
    assert not loop.epoch_loop.restarting
    assert loop.resumed_on_epoch_end


def test_hyperparameters_of_a_command_line_name_the_module_s_class() -> None:
    own = f"{Small.__module__}.{Small.__qualname__}"
    cli = LightningCLI(
        LightningModule,
        run=False,
        subclass_mode_model=True,
        save_config_callback=None,
        args=[f"--model={own}", "--model.width=3", "--trainer.accelerator=cpu"],
    )
    assert compat.settings_under(cli, "model.init_args.width") == 3
    assert cli.model.hparams[compat.CLASS_PATH] == own
    assert cli.model.hparams["width"] == 3


def test_a_parser_forgets_the_run_that_used_it() -> None:
    own = f"{Small.__module__}.{Small.__qualname__}"
    args = [f"--model={own}", "--model.width=3", "--trainer.accelerator=cpu"]
    cli = LightningCLI(
        LightningModule, run=False, subclass_mode_model=True, save_config_callback=None, args=args
    )
    kept = weakref.ref(cli)
    parser = cli.parser
    del cli
    gc.collect()
    assert kept() is not None  # by what the parser calls to create the module

    compat.forget_run(parser)
    gc.collect()
    assert kept() is None


class Seen(Exception):  # noqa: N818
    """Ends a command line once its parsers are made."""


class Looking(LightningCLI):
    def parse_arguments(self, parser: Any, args: Any) -> None:
        raise Seen(parser, compat.subcommand_parsers(self))


def test_the_parsers_of_a_command_line_can_be_read() -> None:
    with pytest.raises(Seen) as caught:
        Looking(Small, args=["fit"])
    _, parsers = caught.value.args
    names = {"fit", "validate", "test", "predict"}
    assert set(parsers) == names
    options = {option.dest: option for option in compat.options_of(parsers["fit"])}
    options["trainer.max_epochs"].help = "for so long"
    assert "for so long" in parsers["fit"].format_help()


OVERRIDDEN: list[tuple[type, type, tuple[str, ...]]] = [
    (KANLayer, nn.Module, ("_apply", "_load_from_state_dict")),
    (
        KanlitCLI,
        LightningCLI,
        (
            "_add_subcommands",
            "_instantiate_trainer",
            "_parse_ckpt_path",
            "_run_subcommand",
            "_set_seed",
        ),
    ),
]


@pytest.mark.parametrize(("own", "base", "names"), OVERRIDDEN)
def test_private_methods_that_are_overridden_are_there(
    own: type, base: type, names: tuple[str, ...]
) -> None:
    for name in names:
        assert getattr(own, name) is not getattr(base, name)


# -- nobody else ----------------------------------------------------------------------------------

PRIVATE = re.compile(r"_[a-zA-Z]\w*")
PUBLIC_IN_FACT = {"_asdict", "_fields", "_replace", "_exit"}  # documented


def names_of(tree: ast.AST) -> Iterator[str]:
    """Names that a file defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def used_in(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Attributes that a file uses, also by ``getattr`` and its like, and whether it sets them."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=use):
                yield name, isinstance(use, ast.Store)
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=args):
                yield from ((str(a.value), False) for a in args if isinstance(a, ast.Constant))


def test_no_other_file_touches_a_private_name_of_a_library() -> None:
    root = Path(kanlit.__file__).parent
    trees = {
        path: ast.parse(path.read_text()) for path in root.rglob("*.py") if path.name != "compat.py"
    }
    defined = {path: {*names_of(tree), *PUBLIC_IN_FACT} for path, tree in trees.items()}
    anywhere = set().union(*defined.values())
    touched = {
        f"{path.relative_to(root)}: {name}"
        for path, tree in trees.items()
        for name, is_set in used_in(tree)
        if PRIVATE.fullmatch(name) and name not in (defined[path] if is_set else anywhere)
    }
    assert not touched
