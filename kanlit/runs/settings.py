"""Reads the settings of a command line and its configs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from kanlit.errors import ConfigurationError
from kanlit.files import check_regular

__all__ = [
    "CONFIG",
    "Setting",
    "load_yaml",
    "loaded",
    "read_config",
    "read_mapping",
    "settings_of",
    "words_of",
]

CONFIG = ("--config", "-c")
_MOST_BYTES, _MOST_VALUES, _DEEPEST = 2**24, 100_000, 100
_load_any_yaml = get_loader("yaml")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster


@dataclass(frozen=True)
class Setting:
    """A value that the user has given.

    Attributes:
        key: Dotted key, without ``class_path`` and ``init_args``.
        value: The value; mappings are split into their settings.
        label: The key and its location, for messages.
        names_class: Whether it is the value of a ``class_path``.
    """

    key: str
    value: Any
    label: str
    names_class: bool = False

    @property
    def place(self) -> str:
        """The key without indices, because members of ``densities`` are densities themselves."""
        return re.sub(r"(\.(densities|triggers))?\[\d+\]", "", self.key)


def settings_of(argv: Sequence[str], subcommand: str) -> list[Setting]:
    """All settings of a command line and its configs, in their order.

    Raises:
        ConfigurationError: If a config is missing, is not text or YAML, is not a mapping, or has a
            key twice.
    """
    found: list[Setting] = []
    for _, option, value in words_of(argv):
        if option in CONFIG:
            content = read_config(value)
            inner = content.get(subcommand)
            label = "{}" if _is_text(value) else f"{{}} in {value}"
            found += _flat(inner if isinstance(inner, dict) else content, "", label)
        elif option.startswith("--") and not option.endswith(".help"):
            key = option[2:].removesuffix("+")
            found += _flat(loaded(value, option), key, "--{}")
    return found


def words_of(argv: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Each word with its option and the option's value, both empty if it is none."""
    for word, follower in zip(argv, [*argv[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if not equals:
            value = "" if follower.startswith("--") else follower
        yield word, option if option.startswith("-") else "", value


def _flat(value: Any, key: str, label: str, names_class: bool = False) -> Iterator[Setting]:
    """Settings of a nested value; ``data: {class_path: C, init_args: {a: 1}}`` as C and data.a."""
    if isinstance(value, Mapping) and value and all(isinstance(part, str) for part in value):
        for part in sorted(value, key=lambda part: part != "class_path"):
            wraps = part in ("class_path", "init_args", "dict_kwargs")
            inner = key if wraps else f"{key}.{part}".lstrip(".")
            yield from _flat(value[part], inner, label, part == "class_path")
        return
    yield Setting(key, value, label.format(key), names_class)
    for i, member in enumerate(value if isinstance(value, list) else ()):
        if isinstance(member, Mapping) and "class_path" not in member:
            yield Setting(f"{key}[{i}]", member, label.format(f"{key}[{i}]"))
        yield from _flat(member, f"{key}[{i}]", label)


def loaded(text: str, option: str) -> Any:
    """The value of an option; text that is not YAML is a value itself."""
    try:
        return load_yaml(text, option)
    except yaml.YAMLError:
        return text


def _is_text(config: str) -> bool:
    """Whether a config is YAML itself, not the path of a file."""
    return "\n" in config or config.startswith("{")


def read_config(name: str) -> dict[Any, Any]:
    """The mapping in a config, given as a path or as YAML text."""
    if not name:
        raise ConfigurationError("--config needs the path of a YAML file: give one")
    needs = "it needs keys such as data, model and trainer"
    return read_mapping(name, "config", "check --config", needs)


def read_mapping(name: str, kind: str, check: str, needs: str) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Args:
        name: Path of the file, or YAML text with several lines or in braces.
        kind: Kind of file, for messages.
        check: Remedy if it is missing, for messages.
        needs: Required content, for messages.

    Raises:
        ConfigurationError: If it is missing, is not text or YAML, is not a mapping, or has a key
            twice.
    """
    what = kind if _is_text(name) else f"{kind} {name}"
    try:
        text = name
        if not _is_text(name):
            path = Path(name).expanduser()
            check_regular(path, kind)
            if path.stat().st_size > _MOST_BYTES:
                raise ConfigurationError(f"{what} has more than {_MOST_BYTES} bytes: shorten it")
            text = path.read_text(encoding="utf-8")
        content = load_yaml(text, what)
    except FileNotFoundError:
        raise ConfigurationError(f"{what} does not exist: {check}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {what} ({error.strerror}): {check}") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise ConfigurationError(f"{what} is not text: give a YAML file") from None
    except RecursionError:
        raise ConfigurationError(f"{what} is nested too deeply: simplify it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigurationError(
            f"{what} is not YAML: {problem}{where}: correct it there"
        ) from None
    if not isinstance(content, dict):
        held = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise ConfigurationError(f"{what} {held}: {needs}")
    return content


def load_yaml(text: str, what: str = "YAML") -> Any:
    """Loads YAML in the same way as the parser of settings.

    Args:
        text: The YAML.
        what: Kind of text, for messages.

    Raises:
        ConfigurationError: If a mapping has a key twice.
        yaml.YAMLError: If it is not YAML, or its aliases expand to too many values.
    """
    try:
        if ":" in text or "*" in text:
            root = yaml.compose(text, Loader=_Loader)
            if root is not None:
                _check(root, what)
        return _load_any_yaml(text)
    except UnicodeEncodeError as error:  # bytes of a command line that are not text
        raise yaml.YAMLError(str(error)) from None


def _check(root: yaml.Node, what: str) -> None:
    """Refuses repeated keys, which YAML libraries drop silently, and what is hostile.

    That is deep nesting, and aliases that expand to many values.
    """
    sizes: dict[int, float] = {}  # number of values in a node, with its aliases expanded

    def size(node: yaml.Node, depth: int) -> float:
        if id(node) in sizes:
            return sizes[id(node)]
        if depth > _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem="it is nested too deeply", problem_mark=node.start_mark
            )
        sizes[id(node)] = math.inf  # until it is known: of a node that contains itself
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node, what)
            children = [each for pair in children for each in pair]
        found = sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in children)
        if found - len(sizes) > _MOST_VALUES:  # more than the nodes that are written out
            problem = f"its aliases expand to more than {_MOST_VALUES} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return found

    size(root, 0)


def _refuse_repeated_keys(node: yaml.MappingNode, what: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        name, line = (key.tag, str(key.value)), key.start_mark.line + 1
        if name in lines and isinstance(key, yaml.ScalarNode):
            again = "" if line == lines[name] else f" and in line {line}"
            raise ConfigurationError(
                f"{what} has the key {key.value} twice, in line {lines[name]}{again}: "
                f"write it once, with all its settings"
            )
        lines[name] = line
