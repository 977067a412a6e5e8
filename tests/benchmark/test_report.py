"""A report says what the runs say: its numbers, its figures, its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from kanlit.benchmark.results import Key, Row, curve_path
from kanlit.benchmark.statistics import compare
from kanlit.cli.benchmark_report import main
from kanlit.errors import ConfigurationError

TASKS = [("synthetic", "f2"), ("synthetic", "f10"), ("synthetic", "f4"), ("helmholtz", "(1,2)")]
SEEDS = (42, 43, 44)


def benchmark(
    folder: Path,
    densities: Sequence[str] = ("CurvatureDensity", "InputDensity"),
    recipes: Sequence[str] = ("sound",),
    curves: bool = True,
) -> pd.DataFrame:
    """Writes a small benchmark: densities differ by a factor each, seeds and tasks by chance."""
    rng = np.random.default_rng(7)
    rows = []
    for recipe in recipes:
        for benchmark, task in TASKS:
            for k, density in enumerate(densities):
                for seed in SEEDS:
                    error = 1e-2 * 1.5**k * np.exp(rng.normal(0.0, 0.3))
                    wall = 10.0 + 2.0 * (density == "CurvatureDensity")
                    row = Row(benchmark, task, density, recipe, seed, error, wall, wall / 50)
                    rows.append(replace(row, epochs=100, params=40, grid_size=12, version="9.9"))
                    if curves:
                        path = curve_path(folder, Key(benchmark, task, density, recipe, seed))
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_text(
                            "epoch,train_loss,grid_size,adapted\n0,1,3,1\n50,0.1,6,1\n99,0.01,6,0\n"
                        )
    runs = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_csv(folder / "results.csv", index=False)
    return runs


def report(folder: Path, *options: str) -> str:
    main([str(folder), *options])
    return (folder / "report" / "report.md").read_text()


def errors(runs: pd.DataFrame, density: str) -> list[np.ndarray]:
    own = runs[runs["density"] == density]
    return [rows["rel_l2"].to_numpy() for _, rows in own.groupby(["benchmark", "task"])]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and named, but not drawn: two thirds of the time of a report."""
    monkeypatch.setattr(
        "kanlit.benchmark.report._save",
        lambda figure, path: [path.with_suffix(end).touch() for end in (".png", ".svg")],
    )


without_drawing = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, str]:
    folder = tmp_path_factory.mktemp("pair")
    runs = benchmark(folder)
    return folder, runs, report(folder)


def test_head_says_what_was_run(pair: tuple[Path, pd.DataFrame, str]) -> None:
    folder, _, text = pair

    assert f"kanlit benchmark report {folder}" in text
    assert "kanlit 9.9; **24 runs, none failed**: 4 tasks (3 synthetic, 1 helmholtz)" in text
    assert "densities `InputDensity`, `CurvatureDensity`, baseline `InputDensity`" in text


def test_summary_is_that_of_the_statistics(pair: tuple[Path, pd.DataFrame, str]) -> None:
    folder, runs, text = pair
    expected = compare(errors(runs, "InputDensity"), errors(runs, "CurvatureDensity"))

    table = pd.read_csv(folder / "report" / "summary.csv").set_index("suite")

    assert table.index.tolist() == ["synthetic", "helmholtz", "all"]
    row = table.loc["all"]
    for name in ("reduction", "ratio", "p_log_ratios", "p_medians"):
        assert row[name] == pytest.approx(getattr(expected, name), rel=1e-4)
    assert (row["wins"], row["ties"], row["losses"]) == (
        expected.outcomes.wins,
        expected.outcomes.ties,
        expected.outcomes.losses,
    )
    assert row["overhead"] == pytest.approx(0.2)
    assert row["adaptation_share"] == pytest.approx(0.02)
    words = f"| CurvatureDensity | all | 4 | **{100 * expected.reduction:+.1f} %** |"
    assert words in text
    assert f"| {expected.outcomes.wins} / {expected.outcomes.ties} / " in text


def test_medians_are_those_of_the_runs_tasks_in_their_order(
    pair: tuple[Path, pd.DataFrame, str],
) -> None:
    folder, runs, text = pair
    medians = runs.groupby(["benchmark", "task", "density"])["rel_l2"].agg(["median", "min", "max"])

    table = pd.read_csv(folder / "report" / "medians.csv")

    assert table["task"].tolist()[::2] == ["f2", "f4", "f10", "(1,2)"]
    for row in table.to_dict("records"):
        expected = medians.loc[(row["benchmark"], row["task"], row["density"])]
        found = [row["median"], row["lowest"], row["highest"]]
        assert found == pytest.approx(expected.tolist(), rel=1e-4)
    f4 = medians["median"].loc[("synthetic", "f4")]
    change = 1 - f4["CurvatureDensity"] / f4["InputDensity"]
    (line,) = re.findall(r"^\| f4 \| 3 \| .*$", text, re.MULTILINE)
    assert f"{100 * change:+.1f} % [" in line
    assert line.endswith("| CurvatureDensity |" if change > 0 else "| InputDensity |")


def test_every_figure_is_there_twice_and_every_table_is_whole(
    pair: tuple[Path, pd.DataFrame, str],
) -> None:
    folder, _, text = pair
    places = re.findall(r"!\[[^]]+\]\((.+?)\)", text)

    assert sorted(Path(place).stem for place in places) == [
        "sound_helmholtz_convergence",
        "sound_helmholtz_medians",
        "sound_ratios",
        "sound_synthetic_convergence",
        "sound_synthetic_medians",
    ]
    written = {path.name for path in (folder / "report" / "figures").iterdir()}
    expected = {Path(place).with_suffix(end).name for place in places for end in (".png", ".svg")}
    assert written == expected
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) > 6
    for block in blocks:
        assert len({line.count(" | ") for line in block.splitlines()}) == 1, block


def test_report_comes_out_the_same_again(
    pair: tuple[Path, pd.DataFrame, str], tmp_path: Path
) -> None:
    folder, _, _ = pair
    again = tmp_path / "again"

    main([str(folder), "--out", str(again)])

    first = {p.relative_to(folder / "report"): p for p in (folder / "report").rglob("*.*")}
    for name, path in first.items():
        if name.name != "report.md":  # it holds the command
            assert path.read_bytes() == (again / name).read_bytes(), name
    assert len(first) > 10


@without_drawing
def test_baseline_can_be_exchanged(pair: tuple[Path, pd.DataFrame, str], tmp_path: Path) -> None:
    folder, _, _ = pair
    forth = pd.read_csv(folder / "report" / "summary.csv")

    main([str(folder), "--baseline", "CurvatureDensity", "--out", str(tmp_path), "--no-published"])

    back = pd.read_csv(tmp_path / "summary.csv")
    assert set(back["density"]) == {"InputDensity"}
    assert (forth["ratio"] * back["ratio"]).tolist() == pytest.approx([1.0] * 3, rel=1e-4)
    assert forth["wins"].tolist() == back["losses"].tolist()
    assert "2601.18672" not in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "published.csv").exists()


def test_published_figures_stand_beside_ours(pair: tuple[Path, pd.DataFrame, str]) -> None:
    folder, _, text = pair
    table = pd.read_csv(folder / "report" / "published.csv")

    assert len(table) == 8
    assert f"**{table['within'].sum()} of 8** medians" in text
    assert "| synthetic | paper: curvature vs. input | 10 | +25.3 % |" in text
    f2 = table[(table["task"] == "f2") & (table["density"] == "CurvatureDensity")].iloc[0]
    assert f2["paper"] == pytest.approx(0.00100745)
    assert f2["ratio"] == pytest.approx(f2["median"] / 0.00100745, rel=1e-4)


@without_drawing
def test_failures_are_counted_listed_and_held_against_their_density(tmp_path: Path) -> None:
    runs = benchmark(tmp_path)
    gone = (runs["task"] == "f2") & (runs["density"] == "CurvatureDensity")
    runs.loc[gone, ["rel_l2", "wall_s", "adapt_s"]] = np.nan
    runs.loc[gone, "error"] = "ValueError: a | b\nof two lines"
    runs.loc[runs.index[runs["task"] == "f4"][0], "rel_l2"] = np.nan
    runs.to_csv(tmp_path / "results.csv", index=False)

    text = report(tmp_path)

    assert "**24 runs, 4 failed**" in text
    assert "### Failed runs: 4" in text
    assert text.count("ValueError: a \\| b of two lines") == 3
    assert text.count("the error is not finite") == 1
    assert "`CurvatureDensity` on synthetic: f2 left out of the averages" in text
    (line,) = re.findall(r"^\| f2 \| 3 \| .*$", text, re.MULTILINE)
    assert "∞ (∞ … ∞, 3 failed)" in line
    assert line.endswith("| InputDensity |")
    table = pd.read_csv(tmp_path / "report" / "summary.csv").set_index("suite")
    assert (table.loc["synthetic", "tasks"], table.loc["synthetic", "finite"]) == (3, 2)


@without_drawing
def test_many_densities_are_ranked_recipe_by_recipe(tmp_path: Path) -> None:
    names = ["curvature_raw", "Bent", "input", "Steep"]
    benchmark(tmp_path, names, recipes=["sound", "my/own.yaml"], curves=False)

    text = report(tmp_path)

    assert re.findall(r"^## Recipe `(.+)`$", text, re.MULTILINE) == ["my/own.yaml", "sound"]
    assert "densities `input`, `curvature_raw`, `Bent`, `Steep`, baseline `input`" in text
    stems = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"sound_ranks", "my_own_ranks"} <= stems
    assert not any("ratios" in stem or "convergence" in stem for stem in stems)
    assert len(pd.read_csv(tmp_path / "report" / "summary.csv")) == 2 * 3 * 3


@without_drawing
def test_against_chooses_what_is_compared(tmp_path: Path) -> None:
    benchmark(tmp_path, ["A", "B", "InputDensity"], curves=False)

    report(tmp_path)
    text = report(tmp_path, "--against", "B", "--no-published")

    assert not (tmp_path / "report" / "published.csv").exists()  # that of the first report
    assert "**24 runs" in text
    assert "`A`" not in text
    assert "sound_ratios" in text


@without_drawing
def test_single_density_is_set_beside_the_published_alone(tmp_path: Path) -> None:
    benchmark(tmp_path, ["CurvatureDensity"], curves=False)

    text = report(tmp_path)

    assert "Only `CurvatureDensity` was run: nothing to compare." in text
    assert "ours / paper" in text
    assert "### Summary" not in text
    assert not (tmp_path / "report" / "summary.csv").exists()
    assert len(pd.read_csv(tmp_path / "report" / "medians.csv")) == 4


@without_drawing
def test_tasks_that_a_density_lacks_are_said_and_left_out(tmp_path: Path) -> None:
    runs = benchmark(tmp_path, curves=False)
    lacking = (runs["task"] == "f4") & (runs["density"] == "CurvatureDensity")
    fewer = (runs["task"] == "f2") & (runs["seed"] == 42) & (runs["density"] == "InputDensity")
    runs[~lacking & ~fewer].to_csv(tmp_path / "results.csv", index=False)

    text = report(tmp_path)

    assert "Tasks that were not run with every density: 1;" in text
    assert "Tasks on which the densities have different numbers of seeds: 1." in text
    table = pd.read_csv(tmp_path / "report" / "summary.csv").set_index("suite")
    assert table.loc["synthetic", "tasks"] == 2


@without_drawing
def test_recipe_without_the_baseline_still_has_its_medians(tmp_path: Path) -> None:
    runs = benchmark(tmp_path, recipes=["sound", "paper"], curves=False)
    gone = (runs["recipe"] == "paper") & (runs["density"] == "InputDensity")
    runs[~gone].to_csv(tmp_path / "results.csv", index=False)

    text = report(tmp_path)

    assert text.count("### Summary") == 1
    assert len(pd.read_csv(tmp_path / "report" / "medians.csv")) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "Inputdensity"], "--baseline Inputdensity: no run has this density; there"),
        (["--against", "A,Bent"], "--against Bent: no run has this density; there are `A`, `B`"),
        (["--against", "InputDensity", "--baseline", "InputDensity"], "is the baseline"),
        (["--publish"], "unrecognized arguments: --publish"),
        (["--against", "InputDensity"], "name one with --baseline"),
    ],
)
def test_wrong_options_are_one_line_with_the_cure(
    tmp_path: Path, options: list[str], message: str
) -> None:
    benchmark(tmp_path, ["A", "B", "InputDensity"], curves=False)

    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        main([str(tmp_path), *options])
    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    benchmark(tmp_path, curves=False)
    (tmp_path / "taken").write_text("")

    with pytest.raises(ConfigurationError, match="give another --out"):
        main([str(tmp_path), "--out", str(tmp_path / "taken")])


def test_report_leaves_no_figure_to_pyplot(tmp_path: Path) -> None:
    before = pyplot.get_fignums()
    benchmark(tmp_path)

    report(tmp_path)

    assert pyplot.get_fignums() == before
