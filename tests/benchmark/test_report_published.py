"""The published table is the paper's, and what is measured is set beside it as it should be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from kanlit.benchmark.published import (
    FACTOR,
    beside_published,
    gains,
    published_equations,
    published_medians,
    published_suites,
    standing,
)
from kanlit.benchmark.published_section import equations_beside_published, published_section
from kanlit.benchmark.statistics import Outcomes
from kanlit.benchmark.tasks import choose_tasks

NAMES = {"input": "InputDensity", "curvature": "Bent"}


def published_as_ours(factor: float = 1.0) -> pd.DataFrame:
    """The paper's medians times a factor, as if they had been measured."""
    table = published_medians()
    table = table[table["source"] == "paper"].rename(columns={"rel_l2": "median"})
    table["density"] = table["density"].map(NAMES)
    table["median"] *= factor
    return table[["benchmark", "task", "density", "median"]]


def frame(columns: str, *rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def hand_made() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tasks; for the second there is no rerun."""
    ours = frame(
        "benchmark task density median",
        ("s", "f1", "InputDensity", 0.5),
        ("s", "f1", "Bent", 0.09),
        ("s", "f2", "InputDensity", 4.0),
        ("s", "f2", "Bent", 1.0),
        ("s", "f3", "Bent", 1.0),  # not of the paper
    )
    published = frame(
        "benchmark task density source rel_l2",
        ("s", "f1", "input", "paper", 0.1),
        ("s", "f1", "input", "rerun", 0.2),
        ("s", "f1", "curvature", "paper", 0.1),
        ("s", "f1", "curvature", "rerun", 10.0),
        ("s", "f2", "input", "paper", 1.0),
        ("s", "f2", "curvature", "paper", 2.0),
    )
    return ours, published


def test_table_has_every_task_twice_and_the_synthetic_ones_from_the_cpu_too() -> None:
    table = published_medians()
    tasks = {
        *product(["synthetic"], [f"f{i}" for i in range(1, 11)]),
        *product(["feynman"], [f"f{i}" for i in range(1, 16)]),
        *product(["helmholtz"], ["(1,1)", "(1,2)", "(2,2)", "(2,4)"]),
    }

    for source, expected in (("paper", tasks), ("rerun", {t for t in tasks if t[0][0] == "s"})):
        own = table[table["source"] == source]
        keys = set(own[["benchmark", "task", "density"]].itertuples(index=False, name=None))
        assert keys == {(*task, density) for task in expected for density in NAMES}
        assert len(own) == len(keys)
    assert (table[["seeds", "rel_l2", "std_rel_l2", "wall_s"]] > 0).all(axis=None)


def test_published_medians_give_the_averages_that_the_paper_states() -> None:
    found = {(s.suite, s.source): s for s in published_suites(published_medians())}

    assert found["synthetic", "paper"].reduction == pytest.approx(0.253, abs=5e-4)
    assert found["feynman", "paper"].reduction == pytest.approx(0.094, abs=5e-4)
    assert found["helmholtz", "paper"].reduction == pytest.approx(0.233, abs=5e-4)
    assert found["synthetic", "rerun"].outcomes == Outcomes(5, 0, 5)


def test_published_medians_stand_at_themselves() -> None:
    published, ours = published_medians(), published_as_ours()

    beside = beside_published(ours, NAMES, published)

    assert len(beside) == 58
    assert (beside["ratio"] == 1).all()
    assert beside["within"].all()
    places = [standing(ours, name, published) for name in NAMES.values()]
    assert all(place is not None and place.tasks == 29 for place in places)
    # On each task one of the two is the better published median, itself.
    assert sum(place.at_or_under for place in places if place is not None) == 29


@pytest.mark.parametrize("direction", [1, -1])
def test_factor_counts_in_both_directions(direction: int) -> None:
    published = published_medians()
    published = published[published["source"] == "paper"]

    inside = published_as_ours((FACTOR * 0.999) ** direction)
    outside = published_as_ours((FACTOR * 1.001) ** direction)

    assert beside_published(inside, NAMES, published)["within"].all()
    assert not beside_published(outside, NAMES, published)["within"].any()


def test_nearer_of_the_two_published_figures_counts() -> None:
    ours, published = hand_made()

    beside = beside_published(ours, NAMES, published).set_index(["task", "density"])

    assert len(beside) == 4
    expected = {
        ("f1", "InputDensity"): (5.0, 2.5, 2.5, True),
        ("f1", "Bent"): (0.9, 0.009, 1 / 0.9, True),
        ("f2", "InputDensity"): (4.0, np.nan, 4.0, False),
        ("f2", "Bent"): (0.5, np.nan, 2.0, True),
    }
    for key, values in expected.items():
        row = beside.loc[key, ["ratio", "rerun_ratio", "factor", "within"]]
        assert row.tolist() == pytest.approx(values, nan_ok=True), key


def test_standing_is_beside_the_better_published_median() -> None:
    ours, published = hand_made()

    place = standing(ours, "Bent", published)

    assert place is not None
    assert (place.tasks, place.at_or_under) == (2, 2)  # 0.09 of 0.1, 1 of 1
    assert place.worst_gain == 1.0
    assert place.median_gain == pytest.approx((0.1 / 0.09 + 1) / 2)
    assert place.mean_gain == pytest.approx(np.sqrt(0.1 / 0.09))
    other = standing(ours, "InputDensity", published)
    assert other is not None
    assert other.at_or_under == 0
    assert standing(ours.assign(benchmark="own"), "Bent", published) is None


def test_tenfold_counts_the_tasks_on_which_the_median_is_a_tenth_or_less() -> None:
    published = published_medians()
    ours = published_as_ours(0.1001)
    ours.loc[ours["task"] == "f2", "median"] *= 0.99  # of two suites

    place = standing(ours, "Bent", published)

    assert place is not None
    table = gains(ours, "Bent", published)
    assert place.tenfold == int((table["gain"] >= 10).sum()) >= 2
    assert table["gain"].to_numpy() == pytest.approx((table["paper"] / table["median"]).to_numpy())


def test_failed_median_is_under_nothing_and_near_nothing() -> None:
    ours, published = hand_made()
    ours["median"] = np.inf

    place = standing(ours, "Bent", published)

    assert place is not None
    assert (place.at_or_under, place.worst_gain, place.mean_gain) == (0, 0.0, 0.0)
    assert not beside_published(ours, NAMES, published)["within"].any()


def test_density_of_another_name_is_set_beside_the_better_median_alone() -> None:
    ours, published = hand_made()

    beside = beside_published(ours, {}, published)
    lines = published_section(ours, beside, [], ["Bent"], published)

    assert beside.empty
    assert any("`Bent`: not above the better published median on **2 of 2**" in x for x in lines)
    assert "| s | f1 | 0.100 | 0.0900 | 1.11 |" in lines
    assert "| s | f2 | 1.00 | 1.00 | 1.00 |" in lines
    assert published_section(ours.assign(benchmark="own"), beside, [], ["Bent"], published) == []


def test_medians_far_from_the_published_ones_are_named_with_their_side() -> None:
    ours, published = hand_made()
    ours.loc[1, "median"] = 0.01

    beside = beside_published(ours, NAMES, published)
    text = "\n".join(published_section(ours, beside, [], list(NAMES.values()), published))

    assert "**2 of 4** medians; lower: s f1 `Bent`; higher: s f2 `InputDensity`." in text


def test_published_equations_are_tasks() -> None:
    names = {task.name for task in choose_tasks("equations")}

    assert set(published_equations()["task"]) <= names


def test_equations_are_set_beside_the_figures_of_others() -> None:
    medians = frame(
        "benchmark task density median",
        ("equations", "burgers", "Bent", 2e-5),
        ("equations", "heat", "Bent", 3e-5),
        ("synthetic", "f1", "Bent", 1.0),
    )

    _, _, _, _, burgers, heat, _ = equations_beside_published(medians, ["Bent"])

    assert burgers.startswith("| burgers | 2.00e-5 | jaxKAN")
    assert "arXiv 2502.00604" in burgers
    assert heat == "| heat | 3.00e-5 | – | – |"
    assert equations_beside_published(medians[2:], ["Bent"]) == []
