"""One parser serves the runs of a process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from kanlit.runs.assembly import Assembly

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

DATA = "--data=SyntheticData"


def test_a_parser_keeps_no_network_and_no_setting_of_a_run() -> None:
    first = Assembly([DATA, "--model.hidden=[2]"], run=False, records=False)
    parser, module = first.parser, weakref.ref(first.model)
    del first
    gc.collect()
    assert module() is None

    second = Assembly([DATA], run=False, records=False)
    assert second.parser is parser
    assert second.config.model.init_args.hidden != [2]


def test_a_config_that_was_not_printed_is_not_printed_by_the_next_run(
    command_line: Callable[[str], tuple[int, str, str]],
) -> None:
    fit = f"fit {DATA} --trainer.max_epochs 1 --trainer.logger false"
    assert command_line(f"{fit} --print_config --model.hiden [2]")[0] == 2

    status, printed, error = command_line(fit)

    assert status == 0, error
    assert "relative L2" in printed
    assert "seed_everything" not in printed
