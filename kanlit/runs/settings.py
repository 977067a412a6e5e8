"""Reads the settings of a command line and its configs as dotted keys, for error messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kanlit.errors import ConfigurationError
from kanlit.files import check_regular

__all__ = [
    "RepeatedKeyError",
    "Setting",
    "check_aliases",
    "check_config",
    "check_keys",
    "read_mapping",
    "settings_of",
]

_MOST_BYTES, _MOST_VALUES = 2**24, 100_000


class RepeatedKeyError(ConfigurationError):
    """A YAML mapping has a key twice; YAML libraries silently drop the first."""


@dataclass(frozen=True)
class Setting:
    """One value that the user gave: its key without class_path and init_args, and its origin."""

    key: str
    value: Any
    label: str


def settings_of(argv: Sequence[str], subcommand: str) -> list[Setting]:
    """All that a command line sets, itself and through its configs, in the order of its words.

    Raises:
        ConfigurationError: A config that is not there, not text, not YAML or not a mapping.
    """
    found: list[Setting] = []
    for option, value in _options(argv):
        if option in ("--config", "-c"):
            content = _read_config(value)
            content = content[subcommand] if _is_nested(content, subcommand) else content
            found += _flatten(content, "", "" if "\n" in value else f" in {value}")
        elif option.startswith("--") and not option.endswith(".help"):
            key = option[2:].removesuffix("+")
            found += _flatten(_loaded(value, option), key, "", f"--{key}")
    return found


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, argument in enumerate(argv):
        if not argument.startswith("-"):
            continue
        option, equals, value = argument.partition("=")
        follower = argv[place + 1] if place + 1 < len(argv) else ""
        yield option, value if equals else "" if follower.startswith("--") else follower


def _is_nested(content: Mapping[Any, Any], subcommand: str) -> bool:
    return isinstance(content.get(subcommand), Mapping)


def _loaded(text: str, option: str) -> Any:
    try:
        return _load_yaml(text, option)
    except yaml.YAMLError:
        return text


def _load_yaml(text: str, where: str) -> Any:
    """The content of YAML in which no mapping has a key twice.

    Raises:
        RepeatedKeyError: One has.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        check_keys(root, where)
        check_aliases(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def check_keys(root: yaml.Node, where: str) -> None:
    """Refuse a mapping with a key twice.

    Args:
        root: The node at the top of a document.
        where: What the document is, for messages.

    Raises:
        RepeatedKeyError: Names the key and its lines.
    """
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                children += [key, value]
                if not isinstance(key, yaml.ScalarNode):
                    continue
                line = key.start_mark.line + 1
                if (name := (key.tag, key.value)) in lines:
                    again = "" if line == lines[name] else f" and in line {line}"
                    raise RepeatedKeyError(
                        f"{where} has the key {key.value} twice, in line {lines[name]}{again}: "
                        f"write it once, with all its settings"
                    )
                lines[name] = line
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        waiting += [child for child in children if id(child) not in seen]
        seen |= {id(child) for child in children}


def _read_config(name: str) -> dict[Any, Any]:
    if not name:
        raise ConfigurationError("--config needs the path of a YAML file: give one")
    needs = "it needs keys such as data, model and trainer"
    return read_mapping(name, "config", "check --config", needs)


def read_mapping(name: str, kind: str, check: str, needs: str) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Args:
        name: Its path, or YAML of more than one line.
        kind: What the file is, for messages.
        check: What to do if it is not there.
        needs: What is to be in it.

    Raises:
        ConfigurationError: It is not there, not text, not YAML or not a mapping.
    """
    try:
        if "\n" not in name:
            check_config(name, kind)
        text = name if "\n" in name else Path(name).expanduser().read_text(encoding="utf-8")
        content = _load_yaml(text, kind if "\n" in name else f"{kind} {name}")
    except FileNotFoundError:
        raise ConfigurationError(f"{kind} {name} does not exist: {check}") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{kind} {name} is a folder: name a YAML file in it") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {kind} {name} ({error.strerror}): {check}") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise ConfigurationError(f"{kind} {name} is not text: give a YAML file") from None
    except RecursionError:
        raise ConfigurationError(f"{kind} {name} is nested too deeply: mend it there") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigurationError(
            f"{kind} {name} is not YAML: {problem}{where}; mend it there"
        ) from None
    if not isinstance(content, dict):
        held = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise ConfigurationError(f"{kind} {name} {held}: {needs}")
    return content


def check_config(name: str, kind: str = "config") -> None:
    """Refuses a config that is no regular file, or too large for one.

    Raises:
        ConfigurationError: Such a file.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return  # which has a line of its own
    check_regular(path, kind)
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise ConfigurationError(f"{kind} {name} has more than {_MOST_BYTES} bytes: shorten it")


def check_aliases(root: yaml.Node) -> None:
    """Refuses YAML whose aliases stand for a multitude of values, or for what they are part of.

    Args:
        root: The node at the top of a document.

    Raises:
        yaml.MarkedYAMLError: Such a document.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_VALUES  # met again inside itself
            inner: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                inner = node.value
            elif isinstance(node, yaml.MappingNode):
                inner = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(map(size, inner))
        if sizes[id(node)] >= _MOST_VALUES:
            problem = f"its aliases stand for more than {_MOST_VALUES} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return sizes[id(node)]

    size(root)


def _flatten(value: Any, key: str, origin: str, label: str = "") -> Iterator[Setting]:
    """Settings of a nested value; ``data: {class_path: C, init_args: {a: 1}}`` as C and data.a."""
    yield_whole = not isinstance(value, Mapping) or not value
    if yield_whole or not all(isinstance(part, str) for part in value):
        key = re.sub(r"\.(class_path|init_args|dict_kwargs)(?=\.|$)", "", key)
        yield Setting(key, value, (label or key) + origin)
        return
    for part, inner in sorted(value.items(), key=lambda item: item[0] != "class_path"):
        whole = f"{key}.{part}" if key else part
        yield from _flatten(inner, whole, origin, f"{label or key}.{part}".lstrip("."))
