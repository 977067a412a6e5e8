"""Writes docs/reference.md, every key of a config, from the docstrings.

    python docs/make_reference.py

A test holds the page against what this prints.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import docstring_parser
import yaml

import kanlit.adaptation
import kanlit.callbacks
import kanlit.data
import kanlit.modules
import kanlit.optim
import kanlit.problems
from kanlit.adaptation import ImportanceDensity, Trigger
from kanlit.callbacks import (
    Checkpoint,
    GridAdaptationCallback,
    KeepBest,
    KnotPlotCallback,
    PruningCallback,
)
from kanlit.cli.defaults import ADAPTATION_DEFAULTS, TRAINER_DEFAULTS
from kanlit.data import TensorDataModule
from kanlit.modules import KANModule
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Equation

PAGE = Path(__file__).with_name("reference.md")

HEAD = """# Every key of a config

Made from the docstrings by `python docs/make_reference.py`. A config has the keys below, and so has
the command line: `--data.path t.csv`, `--adaptation.density CurvatureDensity`. Where a class is
asked for, its name alone does, or `class_path` with `init_args`; a class of your own is named by
its path, `mymodule.MyDensity`. `kanlit fit --print_config` prints all settings of a run.

- `data`: a data module, [Data](#data).
- `model`: a module, [Model](#model); its `optimizer` is [LevenbergMarquardt](#optimizers) or any of
  torch's.
- `adaptation`: how grids are adapted, [Adaptation](#adaptation).
- `checkpoint`: what is kept, [Checkpoint](#checkpoint).
- `trainer`: Lightning's [Trainer](https://lightning.ai/docs/pytorch/stable/common/trainer.html);
  kanlit's defaults are [below](#trainer).
- `seed_everything`: seed of all random numbers, 42.
- `ckpt_path`: a checkpoint to go on from: a path, `last` or `best`.
"""


def members(module: ModuleType, base: type) -> list[type]:
    """The classes of a package that one can name in a config, in the order of their names."""
    found = (getattr(module, name) for name in module.__all__)
    return [c for c in found if isinstance(c, type) and issubclass(c, base) and concrete(c)]


def concrete(cls: type) -> bool:
    return not inspect.isabstract(cls) and cls not in (Equation, TensorDataModule, KANModule)


def markdown(text: str | None) -> str:
    """A docstring's text as one line of Markdown."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text or "")
    text = text.replace("``", "`").replace("|", "\\|")
    return " ".join(text.split())


def described(cls: type, level: int) -> Iterable[str]:
    """A class: its first line, and a table of its arguments."""
    doc = docstring_parser.parse(inspect.getdoc(cls) or "", docstring_parser.DocstringStyle.GOOGLE)
    yield f"{'#' * level} {cls.__name__}\n"
    yield f"{markdown(doc.short_description)}\n"
    texts = {p.arg_name: p.description for p in doc.params if p.args[0] == "param"}
    signature = inspect.signature(cls.__init__)
    given = [p for name, p in signature.parameters.items() if name in texts]
    if given:
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        for parameter in given:
            yield "| " + " | ".join(cells(parameter, texts[parameter.name])) + " |"
        yield ""


def cells(parameter: inspect.Parameter, text: str | None) -> list[str]:
    kind = str(parameter.annotation).replace("|", "\\|")
    default = parameter.default
    if default is inspect.Parameter.empty:
        shown = "needed"
    elif callable(default):
        shown = "see there"
    else:
        shown = f"`{yaml.safe_dump(plain(default), default_flow_style=True).split(chr(10))[0]}`"
    return [f"`{parameter.name}`", f"`{kind}`", shown, markdown(text)]


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def section(title: str, classes: Iterable[type], level: int = 2, note: str = "") -> Iterable[str]:
    yield f"{'#' * level} {title}\n"
    if note:
        yield f"{note}\n"
    for cls in classes:
        yield from described(cls, level + 1)


def settings(given: dict[str, object]) -> str:
    return f"```yaml\n{yaml.safe_dump(given, sort_keys=False)}```\n"


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    lines += section("Data", members(kanlit.data, TensorDataModule))
    lines += section(
        "Equations",
        members(kanlit.problems, Equation),
        note="For `EquationData`; one of your own: [equations.md](equations.md).",
    )
    lines += section("Model", members(kanlit.modules, KANModule))
    lines += section(
        "Optimizers",
        [LevenbergMarquardt],
        note="`model.optimizer`, beside all of `torch.optim`; the parameters are filled in.",
    )
    lines += section("Adaptation", [GridAdaptationCallback])
    shown = {name.removeprefix("adaptation."): v for name, v in ADAPTATION_DEFAULTS.items()}
    lines.append(f"On the command line these are other than above:\n\n{settings(shown)}")
    lines += section(
        "Densities",
        members(kanlit.adaptation, ImportanceDensity),
        note="`adaptation.density`; one of your own: [density.md](density.md).",
    )
    lines += section("Triggers", members(kanlit.adaptation, Trigger), note="`adaptation.trigger`.")
    lines += section("Checkpoint", [Checkpoint])
    lines += section(
        "Callbacks",
        [KeepBest, KnotPlotCallback, PruningCallback],
        note="`trainer.callbacks`; `KnotPlotCallback` is there already where a run has a logger.",
    )
    lines.append(f"## Trainer\n\nkanlit's defaults:\n\n{settings(dict(TRAINER_DEFAULTS))}")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
