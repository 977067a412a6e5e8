"""YAML of a command line and its configs: what is refused before anybody reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kanlit.errors import ConfigurationError
from kanlit.runs.settings import load_yaml, loaded
from kanlit.runs.user_classes import import_named

SHARED = "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\n'a': 3", "config x has the key a twice, in line 1 and in line 3"),
        ("b: {a: 1, a: 2}", "config x has the key a twice, in line 1:"),
    ],
)
def test_a_repeated_key_is_named_with_its_lines(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as info:
        load_yaml(text, "config x")
    assert words in str(info.value)


def test_keys_of_other_types_are_other_keys() -> None:
    assert load_yaml("{1: a, '1': b}") == {1: "a", "1": "b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SHARED, "its aliases expand to more than 100000 values"),
        ("a: &a [*a]", "its aliases expand to more than 100000 values"),
        ("a: " + "[" * 200 + "]" * 200, "it is nested too deeply"),
        ("a: " + "[" * 3000 + "]" * 3000, "exceeded maximum nesting depth"),
        ("a: *b", "found undefined alias"),
    ],
)
def test_hostile_yaml_is_refused(text: str, problem: str) -> None:
    with pytest.raises(yaml.YAMLError, match=problem):
        load_yaml(text)


def test_many_values_and_a_few_aliases_are_no_attack() -> None:
    text = "a: &a [1, 2]\nb: [*a, *a]\nc: [" + "0, " * 100_000 + "]"
    assert load_yaml(text)["b"] == [[1, 2], [1, 2]]


def test_bytes_that_are_not_text_are_a_value_like_any() -> None:
    for text in ("\udcff.csv", "a: \udcff"):  # as Python reads them from a command line
        assert loaded(text, "--data.path") == text


def test_a_file_with_the_name_of_another_module_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wave.py").write_text("class Mine: ...\n")  # Python has a module wave
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"the name wave \(.*\): give the file wave.py"):
        import_named("wave.Mine")
