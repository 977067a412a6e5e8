"""Malformed tables and formulas: one line that names the thing and the cure, before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], "tuple[int, str, str]"]

TABLE = "fit --data TableData --data.inputs '[a, b]' --data.targets '[y]' --data.path"
FORMULA = "fit --data FormulaData"
BOX = "--data.bounds '{x: [-1, 1], z: [0, 2]}'"

TABLES = {
    "ragged.csv": "a,b,y\n1,2,3\n1,2,3,4\n",
    "comma.csv": "a,b,y\n1,2,3\n4,5\n7,8,9\n",
    "decimal.csv": "a,b,y\n1,'0,5',3\n2,'1,5',3\n",
    "semicolon.csv": "a;b;y\n1;2;3\n",
    "spaces.csv": "a b  y\n1 2  3\n",
    "comment.csv": "# measured 2024\na,b,y\n1,2,3\n",
    "comment_within.csv": "a,b,y\n1,2,3\n# the second day\n4,5,6\n",
    "excel.csv": "sep=,\na,b,y\n1,2,3\n",
    "point.csv": 'a,b,y\n1,"0,5",3\n2,"1,5",3\n',
    "thousands.csv": 'a,b,y\n1,"1,000.5",3\n2,"2,000.5",3\n',
    "percent.csv": "a,b,y\n1,50%,3\n",
    "minus.csv": "a,b,y\n1,−2,3\n",
    "yes.csv": "a,b,y\n1,true,3\n",
    "quotes.csv": "a,'b',y\n1,2,3\n",
    "large.csv": "a,b,y\n1,1e400,3\n",
    "many.csv": ",".join(f"c{i}" for i in range(99)) + "\n",
    "tabs.csv": "a\tb\ty\n1\t2\t3\n",
    "nameless.csv": "1,2,3\n4,5,6\n",
    "twice.csv": "a,b,b,y\n1,2,3,4\n",
    "header.csv": "a,b,y\n",
    "empty.csv": "",
    "flat.csv": "a,b,y\n" + "".join(f"{i},4,{i}\n" for i in range(20)),
    "flat_target.csv": "a,b,y\n" + "".join(f"{i},{i % 3},0.5\n" for i in range(20)),
    "dates.csv": "a,b,y\n" + "".join(f"{i},2026-01-{i + 1:02},{i}\n" for i in range(20)),
    "seconds.csv": "a,b,y\n" + "".join(f"{1764086400 + i},{i % 3},{i}\n" for i in range(20)),
    "commas.tsv": "a,b,y\n1,2,3\n",
    "ragged.tsv": "a\tb\ty\n1\t2\t3\n1\t2\t3\t4\n",
    "hole.tsv": "a\tb\ty\n1\t2\t3\n1\t\t3\n",
    "text.npz": "this is no archive",
    "text.parquet": "this is no parquet",
    "parts.csv": "a,b,y,part\n1,2,3,train\n2,3,4,tset\n",
    "untested.csv": "a,b,y,part\n" + "".join(f"{i},{i % 3},{i},train\n" for i in range(9)),
}


def write_files(folder: Path) -> None:
    """The malformed tables that the command lines name."""
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    numbers = np.arange(20.0)
    with_hole = np.where(numbers == 7, np.nan, numbers)
    words = np.array(["red", "blue"] * 10)
    np.savez(folder / "lengths.npz", a=numbers, b=numbers[:-1], y=numbers)
    np.savez(folder / "objects.npz", a=numbers, b=np.array([{}] * 20), y=numbers, allow_pickle=True)
    records = np.zeros(20, dtype=[("a", float), ("b", float), ("y", float)])
    np.savez(folder / "records.npz", records=records)
    np.savez(folder / "words.npz", a=numbers, b=words, y=numbers)
    np.savez(folder / "hole.npz", a=numbers, b=with_hole, y=numbers)
    np.savez(folder / "matrix.npz", a=numbers, b=np.ones((20, 2)), y=numbers)
    np.savez(folder / "cube.npz", a=numbers, b=np.ones((20, 2, 2)), y=numbers)
    np.savez(folder / "none.npz")
    whole = (folder / "hole.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    frame = pd.DataFrame({"a": numbers, "b": numbers % 3, "y": numbers})
    dates = pd.date_range("2026-01-01", periods=20)
    frame.assign(b=dates).to_parquet(folder / "dates.parquet")
    frame.assign(b=numbers > 3).to_parquet(folder / "truth.parquet")
    frame.assign(b=with_hole).to_parquet(folder / "hole.parquet")
    frame.assign(b=words).to_parquet(folder / "words.parquet")
    frame[:0].to_parquet(folder / "rowless.parquet")
    frame.to_parquet(folder / "good.parquet")
    whole = (folder / "good.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])


# A command line, and the words that its error must hold.
BAD_TABLES: list[tuple[str, list[str]]] = [
    (f"{TABLE} ragged.csv", ["line 3 of ragged.csv", "4 fields", "header has 3"]),
    (f"{TABLE} comma.csv", ["'y' of comma.csv", "1 missing", "line 3"]),
    (f"{TABLE} decimal.csv", ["line 2 of decimal.csv", "a point as decimal separator"]),
    (f"{TABLE} semicolon.csv", ["separated by ';'", "save it with commas and a point"]),
    (f"{TABLE} spaces.csv", ["separated by spaces", "save it with commas"]),
    (
        f"{TABLE} comment.csv",
        ["comment.csv is a comment (# measured 2024): remove it"],
    ),
    (f"{TABLE} comment_within.csv", ["'# the second day' in line 3", "a comment: remove the line"]),
    (f"{TABLE} excel.csv", ["first line of excel.csv (sep=)", "only for Excel: remove it"]),
    (f"{TABLE} point.csv", ["'b' of point.csv", "'0,5' in line 2", "decimals with a point"]),
    (f"{TABLE} thousands.csv", ["'1,000.5' in line 2", "thousands without separators"]),
    (f"{TABLE} percent.csv", ["'50%' in line 2", "write 0.5 for 50%"]),
    (f"{TABLE} minus.csv", ["'−2' in line 2", "write the minus sign as -"]),
    (f"{TABLE} yes.csv", ["'True' in line 2", "write 1 and 0"]),
    (f"{TABLE} quotes.csv", ["'b' is not in quotes.csv", "did you mean \"'b'\"?"]),
    (f"{TABLE} large.csv", ["'b' of large.csv has 1 infinite values", "line 2"]),
    (f"{TABLE} many.csv", ["c8, c9, … (99 in all)"]),
    (f"{TABLE} many.csv --data.inputs 'd*'", ["'d*' is not in many.csv"]),
    (f"{TABLE} good.parquet --data.inputs '[a, a]'", ["inputs has column 'a' 2 times"]),
    (f"{TABLE} good.parquet --data.inputs '[a, y]'", ["'y' is both an input and a target"]),
    (f"{TABLE} good.parquet --data.inputs '[0, 1]'", ["column '0' is not in good.parquet"]),
    (f"{TABLE} tabs.csv", ["separated by '\\t'", "name it .tsv"]),
    (f"{TABLE} nameless.csv", ["nameless.csv has no header", "1,2,3", "add a first line"]),
    (f"{TABLE} twice.csv", ["'b' occurs 2 times in twice.csv", "rename"]),
    (f"{TABLE} header.csv", ["a header but no rows", "add rows"]),
    (f"{TABLE} empty.csv", ["empty.csv is empty", "header line"]),
    (f"{TABLE} flat.csv", ["'b' of flat.csv is 4 in all 14 training rows", "inputs"]),
    (f"{TABLE} flat_target.csv", ["'y' of flat_target.csv is 0.5", "a target that varies"]),
    (f"{TABLE} dates.csv", ["'b' of dates.csv", "'2026-01-01' in line 2", "this is a time"]),
    (f"{TABLE} seconds.csv --trainer.precision 32-true", ["'a'", "float32", "64-true"]),
    (f"{TABLE} commas.tsv", ["separated by ','", "tabs", "name it .csv"]),
    (f"{TABLE} ragged.tsv", ["line 3 of ragged.tsv", "4 fields"]),
    (f"{TABLE} hole.tsv", ["'b' of hole.tsv has 1 missing", "line 3"]),
    (f"{TABLE} text.npz", ["text.npz is not an NPZ file", "numpy.savez"]),
    (f"{TABLE} cut.npz", ["cut.npz is not an NPZ file", "numpy.savez"]),
    (f"{TABLE} none.npz", ["none.npz is empty"]),
    (f"{TABLE} lengths.npz", ["'b' of lengths.npz has 19 rows but 'a' has 20"]),
    (f"{TABLE} objects.npz", ["'b' of objects.npz", "does not unpickle", "astype(float)"]),
    (f"{TABLE} records.npz", ["'a' is a field of the array 'records'", "each field"]),
    (f"{TABLE} words.npz", ["'b' of words.npz", "'red' in row 1"]),
    (f"{TABLE} hole.npz", ["'b' of hole.npz has 1 missing or NaN", "row 8"]),
    (f"{TABLE} matrix.npz", ["'b' of matrix.npz has 2 columns", "b1, b2"]),
    (f"{TABLE} cube.npz", ["'b' of cube.npz has the shape (20, 2, 2)", "one dimension"]),
    (f"{TABLE} text.parquet", ["text.parquet is not a Parquet file", "to_parquet"]),
    (f"{TABLE} cut.parquet", ["cut.parquet is not a Parquet file"]),
    (f"{TABLE} truth.parquet", ["'b' of truth.parquet", "'False' in row 1", "write 1 and 0"]),
    (f"{TABLE} rowless.parquet", ["rowless.parquet has no rows"]),
    (f"{TABLE} dates.parquet", ["'b' of dates.parquet", "2026-01-01", "row 1"]),
    (f"{TABLE} words.parquet", ["'b' of words.parquet", "'red' in row 1"]),
    (f"{TABLE} hole.parquet", ["'b' of hole.parquet has 1 missing", "row 8"]),
    (f"{TABLE} parts.csv --data.split_column part", ["'tset' in line 3", "train, "]),
    (f"{TABLE} parts.csv --data.split_column prat", ["'prat'", "did you mean 'part'?"]),
    (f"{TABLE} untested.csv --data.split_column part", ["'part'", "0 rows validate"]),
    (f"{TABLE} good.parquet --data.split_column b", ["'b' is also an input or a target"]),
    (
        f"{TABLE} good.parquet --data.test_path none.tsv",
        ["file none.tsv does not exist", "data.test_path"],
    ),
]

BAD_FORMULAS: list[tuple[str, list[str]]] = [
    (FORMULA, ["FormulaData needs formula, bounds", "give data.formula"]),
    (f"{FORMULA} --data.formula '' {BOX}", ["formula is empty", "y = sin(3*x)"]),
    (f"{FORMULA} --data.formula 'y = sin(x' {BOX}", ["never closed at character 8"]),
    (f"{FORMULA} --data.formula 'y = 2x' {BOX}", ["invalid decimal literal", "character 5"]),
    (f"{FORMULA} --data.formula 'y = x^2' {BOX}", ["character 5", "^ is not allowed", "write **"]),
    (f"{FORMULA} --data.formula 'y = 3(x + 1)' {BOX}", ["write * between"]),
    (f"{FORMULA} --data.formula 'y = sine(x)' {BOX}", ["'sine'", "did you mean 'sin'?"]),
    (f"{FORMULA} --data.formula 'y = sin(x, z)' {BOX}", ["one argument, got 2"]),
    (f"{FORMULA} --data.formula 'y = 0,5*x' {BOX}", ["decimals with a point"]),
    (f"{FORMULA} --data.formula 'y = x*zz' {BOX}", ["'zz' has no bounds", "did you mean 'z'?"]),
    (f"{FORMULA} --data.formula 'y = x' {BOX}", ["'z'", "does not use", "take it out"]),
    (f"{FORMULA} --data.formula 'y = 3' {BOX}", ["has no variable"]),
    (f"{FORMULA} --data.formula 'x = x*z' {BOX}", ["x on both sides"]),
    (
        f"""{FORMULA} --data.formula "y = __import__('os').system('touch pwned')" {BOX}""",
        ["attribute", "is not allowed"],
    ),
    (
        f"""{FORMULA} --data.formula "y = eval('open(\\"pwned\\", \\"w\\")')" {BOX}""",
        ["unknown function 'eval'"],
    ),
    (f"{FORMULA} --data.formula 'import os' {BOX}", ["an import is not allowed"]),
    (f"{FORMULA} --data.formula 'y = x.real' {BOX}", ["attribute", "character 5"]),
    (f"{FORMULA} --data.formula 'y = x[0]' {BOX}", ["an index in brackets"]),
    (f"{FORMULA} --data.formula 'y = sin(lambda x)' {BOX}", ["invalid syntax"]),
    (f"{FORMULA} --data.formula 'y = sum(x for x in z)' {BOX}", ["unknown function 'sum'"]),
    (f"{FORMULA} --data.formula 'y = 9**9**9**9*x*z' {BOX}", ["9**9**9 is not finite"]),
    (f"{FORMULA} --data.formula 'y = x*z*{'(' * 300}z{')' * 300}' {BOX}", ["nested parentheses"]),
    (f"{FORMULA} --data.formula 'y = z*{'-' * 500}x' {BOX}", ["more than 100 expressions"]),
    (f"{FORMULA} --data.formula 'y = log(x)*z' {BOX}", ["log(x) is not finite at x = -1, z = 0"]),
    (f"{FORMULA} --data.formula 'y = x/z' {BOX}", ["x/z is not finite at x = -1, z = 0"]),
    (f"{FORMULA} --data.formula 'y = 0*x*z' {BOX}", ["is 0 at every training point"]),
    (f"{FORMULA} --data.formula 'y = x' --data.bounds '{{}}'", ["'x' has no bounds"]),
    (f"{FORMULA} --data.formula 'y = x' --data.bounds '{{x: [1, -1]}}'", ["'x'", "not rising"]),
    (f"{FORMULA} --data.formula 'y = x' --data.bounds '{{x: [0]}}'", ["'x'", "not two numbers"]),
    (f"{FORMULA} --data.formula 'y = x' --data.bounds '{{x: [0, .inf]}}'", ["'x'", "not finite"]),
    (f"{FORMULA} --data.formula 'y = x' --data.bounds '{{x: [0, b]}}'", ["--data.bounds"]),
    (
        f"{FORMULA} --data.formula 'y = x' --data.bounds '{{x: 3}}'",
        ["mapping such as {x: [-1, 1]}"],
    ),
    (f"{FORMULA} --data.formula 'y: x' {BOX}", ["--data.formula: expected text"]),
    (
        f"{FORMULA} --data.formula 'y = x' --data.bounds 3",
        ["--data.bounds", "mapping such as {x: [-1, 1]}"],
    ),
    (f"{FORMULA} --data.formula 'y = x*z' {BOX} --data.noise -1", ["noise", "-1.0"]),
    (f"{FORMULA} --data.formual 'y = x*z' {BOX}", ["did you mean formula?"]),
]

BAD = BAD_TABLES + BAD_FORMULAS


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the malformed tables."""
    folder = tmp_path_factory.mktemp("tables")
    write_files(folder)
    return folder


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command[:70] for command, _ in BAD])
def test_malformed_data_are_one_line_with_the_thing_and_the_cure(
    command: str,
    words: list[str],
    command_line: Run,
    tables: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tables)

    status, output, error = command_line(command)

    said = [line for line in error.splitlines() if line and "Seed set to" not in line]
    assert (status, output, len(said)) == (2, "", 1), error
    assert said[0].startswith("kanlit: error: ")
    for word in words:
        assert word in said[0]
    assert not (tables / "pwned").exists()  # what a formula says is not done
