"""Set partitions, the product rule and the chain rule."""

from __future__ import annotations

import doctest
from math import comb

import pytest
import torch

from kanlit import chain_rule
from kanlit.chain_rule import chain_factors, check_closed, closure, product_rule, set_partitions


def test_examples() -> None:
    assert doctest.testmod(chain_rule).failed == 0


@pytest.mark.parametrize(("order", "bell"), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52)])
def test_partitions_are_as_many_as_bell_s_numbers(order: int, bell: int) -> None:
    for along in ((0,) * order, tuple(range(order))):
        assert sum(count for _, count in set_partitions(along)) == bell
        for blocks, _ in set_partitions(along):
            assert tuple(sorted(sum(blocks, ()))) == along


def test_the_product_rule_has_binomial_counts() -> None:
    counts = [count for _, _, count in product_rule((0, 0, 0, 0))]
    assert counts == [comb(4, m) for m in range(5)]
    assert len(product_rule((0, 1, 2))) == 8


def test_absent_derivatives_leave_out_their_terms() -> None:
    one = torch.tensor(3.0)
    assert chain_factors((0, 0, 0), {(0,): one}) == {3: 27.0}
    assert chain_factors((0, 1), {(0,): one}) == {}


def test_a_closure_has_every_lower_derivative_once() -> None:
    alongs = closure([(1, 0, 0), (0,), (2,)])
    assert alongs == ((), (0,), (1,), (2,), (0, 0), (0, 1), (0, 0, 1))
    check_closed(alongs[1:])
    for missing in alongs[1:3] + alongs[4:6]:
        with pytest.raises(ValueError, match="of lower order"):
            check_closed(tuple(along for along in alongs[1:] if along != missing))
