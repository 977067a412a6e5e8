"""Turns a parser's error into one line: what is wrong, the value, what to do.

A parser often does not say where the error is. After it has refused, :func:`explain` checks the
user's settings one after another and reports the first that is wrong.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import SequenceMatcher

from kanlit.data import TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.runs.exceptions import one_line
from kanlit.runs.kinds import KINDS, members
from kanlit.runs.settings import Setting
from kanlit.signatures import constructor_parameters

__all__ = ["UsageError", "explain"]


class UsageError(ConfigurationError):
    """The message of a parser, which :func:`explain` rewrites."""


# Examples for required arguments.
_EXAMPLES = {"monitor": "val/loss"}

# Types as the parser names them, and as users do.
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "dict": "a mapping such as {0: 3, 500: 6}",
    "list": "a list such as [3, 6] or [a, b]",
    "Sequence": "a list such as [3, 6] or [a, b]",
    "Iterable": "a list",
}
_BOUNDS = "a mapping such as {x: [-1, 1]}"
_OTHER_WORDS = {"bounds": {"dict": _BOUNDS, "list": _BOUNDS, "float": f"{_BOUNDS} of numbers"}}


def explain(
    message: str,
    settings: Sequence[Setting],
    options: Collection[str],
    defaults: Mapping[str, str],
    command: str,
) -> str:
    """Explains in one line why a parser refused these settings.

    Args:
        message: Message of the parser.
        settings: Settings of the user.
        options: Dotted keys of the parser.
        defaults: Default class of a key.
        command: Command that lists all options, for messages.
    """
    try:
        classes = _classes(settings, defaults)
        _check_keys(settings, classes, options, command)
        _check_required(settings, classes)
    except ConfigurationError as error:
        return str(error)
    if message.startswith("unrecognized arguments: "):
        return f"{message.replace('unrecognized', 'unexpected')}: options begin with --"
    return _wrong_type(message, settings) or one_line(message)


def _classes(settings: Sequence[Setting], defaults: Mapping[str, str]) -> dict[str, type]:
    """The final class of each key; keys in lists have an index."""
    found = {key: KINDS[key].resolve(name, key) for key, name in defaults.items()}
    for each in settings:
        kind = KINDS.get(each.place)
        if kind is None or each.value in kind.names:
            continue
        if isinstance(each.value, str):
            found[each.key] = kind.resolve(each.value, each.label)
        elif each.key.endswith("]"):
            raise ConfigurationError(
                f"{each.label}: expected {kind.a_word} such as {{class_path: NAME}}, "
                f"got {each.value!r}"
            )
    if "data" not in found:
        known = ", ".join(members(TensorDataModule))
        raise ConfigurationError(f"no data: set data to one of {known}, or to your own class")
    return found


def _check_keys(
    settings: Sequence[Setting],
    classes: Mapping[str, type],
    options: Collection[str],
    command: str,
) -> None:
    groups = {group for option in options for group in _upwards(option)[1:]}
    arguments = {key: _arguments(cls, key) for key, cls in classes.items()}
    known = {*options, *groups, *(f"{key}.{name}" for key in classes for name in arguments[key])}
    last = {each.key: position for position, each in enumerate(settings)}
    for position, each in enumerate(settings):
        owner = next((key for key in _upwards(each.key)[1:] if key in classes), None)
        if owner is not None:
            if position < last.get(owner, -1):
                continue  # settings of a class are dropped if another class is named
            name = re.split(r"[.\[]", each.key[len(owner) + 1 :])[0]
            if name not in arguments[owner]:
                takes = ", ".join(arguments[owner]) or "no settings"
                raise ConfigurationError(
                    f"unknown key {each.label}: {near(name, arguments[owner])}"
                    f"{classes[owner].__name__} takes {takes}"
                )
            continue
        key, *above = _upwards(re.sub(r"\[\d+\]", "", each.key))
        inside = any(k in options and k not in groups for k in above)
        if key not in options and key not in groups and not inside:
            raise ConfigurationError(
                f"unknown key {each.label}: {_nearest_key(key, known)}{command} shows all"
            )


def _upwards(key: str) -> list[str]:
    """A key and those above it, as ``a.b.c``, ``a.b``, ``a``."""
    return [key.rsplit(".", n)[0] for n in range(key.count(".") + 1)]


def _nearest_key(key: str, known: Collection[str]) -> str:
    """``did you mean …?`` if one is close: ``optimizer.lr`` is most like model.optimizer.lr."""
    depth, leaf = key.count(".") + 1, key.rpartition(".")[2]

    def likeness(other: str) -> float:
        parts = other.split(".")
        ends = (other, ".".join(parts[-depth:]))
        same_name = 0.2 * (parts[-1] == leaf)
        return same_name + max(SequenceMatcher(None, key, end).ratio() for end in ends)

    nearest = max(sorted(known, key=lambda other: (other.count("."), other)), key=likeness)
    return f"did you mean {nearest}? " if likeness(nearest) > 0.6 else ""


def _arguments(cls: type, key: str) -> dict[str, inspect.Parameter]:
    """The arguments of a class that the user may give."""
    given = KINDS[Setting(key, None, "").place].given
    return {n: each for n, each in constructor_parameters(cls).items() if n not in given}


def _check_required(settings: Sequence[Setting], classes: Mapping[str, type]) -> None:
    # With their parents: a mapping is split into its members.
    given = {key for each in settings for key in _upwards(each.key)}
    named = {each.key for each in settings}
    for key, cls in classes.items():
        if key not in named:
            continue  # a default, or data that exist already
        needed = [n for n, each in _arguments(cls, key).items() if each.default is each.empty]
        missing = [name for name in needed if f"{key}.{name}" not in given]
        if not missing:
            continue
        if key.endswith("]"):
            inner = ", ".join(f"{name}: {_EXAMPLES.get(name, '…')}" for name in missing)
            give = f"{{class_path: {cls.__name__}, init_args: {{{inner}}}}}"
        else:
            such = {name: f" such as {_EXAMPLES[name]}" for name in missing if name in _EXAMPLES}
            give = ", ".join(f"{key}.{name}{such.get(name, '')}" for name in missing)
        raise ConfigurationError(f"{key}: {cls.__name__} needs {', '.join(missing)}: give {give}")


def _wrong_type(message: str, settings: Sequence[Setting]) -> str | None:
    """``KEY: expected …, got …`` for a value of the wrong type; ``None`` for anything else."""
    key = re.match(r'Parser key "([^"]+)"', message)
    got = re.search(r"(?:Given value|Got value): (.*)\s*\Z", message)
    union = re.search(r"Subtypes: \[(.*)\]", message)
    listed = union[1] if union else " ".join(re.findall(r"Expected an? (.*)", message))
    wanted = re.findall(r"<class '([\w.]+)'>|Literal\[(.*?)\]|\b(dict|list|Sequence)\[", listed)
    same = [s for s in settings if key and f".{s.key}".endswith(f".{key[1]}")]
    if not key or not (same or got):
        return None
    words = _WORDS | _OTHER_WORDS.get(key[1], {})
    expected: list[str] = []
    for name, literals, generic in wanted:
        short = generic or name.rpartition(".")[2]
        if literals:
            expected += literals.replace("'", "").split(", ")
        elif short != "NoneType":
            expected.append(words.get(short, short))
    if not expected:
        return None
    within = next((s.label for s in settings if f".{key[1]}." in s.label), None)
    above = f"{within.partition(f'.{key[1]}.')[0]}.{key[1]}" if within else key[1]
    label = same[-1].label if same else above
    value = same[-1].value if same else got[1] if got else ""
    choice = list(dict.fromkeys(expected))
    listing = " or ".join(choice) if len(choice) < 4 else f"one of {', '.join(choice)}"
    return f"{label}: expected {listing}, got {value!r}"
