"""Chips are filled to what they hold and not beyond, whatever the circuit."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsmachine as ds
from dsmachine.circuits.errors import Error
from dsmachine.energy.inventory import Piece
from dsmachine.energy.packing import Room, pack

TECHNOLOGY = ds.load_technology()


def piece(name: str, nodes: int, units: int, together: int = 1, silicon: float = 0.0) -> Piece:
    return Piece(name, "", nodes, units, {}, 0, 0, 0, together, silicon, ())


def test_arrays_are_cut_between_nodes() -> None:
    """Chips of 10 nodes: 4, then 6 + 10 + 7, then 3 and 1."""
    found = pack(
        [piece("a", 4, 0), piece("b", 23, 0), piece("c", 4, 0)], Room((10, 99, math.inf), math.inf), TECHNOLOGY, "m"
    )
    assert [(s.first, s.last) for s in found.span.values()] == [(0, 0), (0, 2), (2, 3)]
    assert found.chips == 4 and found.used == (31, 0, 0)


def test_couplings_may_be_what_runs_out() -> None:
    """Nodes of 5 couplings, 12 on a chip: two nodes each."""
    found = pack([piece("a", 7, 35)], Room((100, 12, math.inf), math.inf), TECHNOLOGY, "m")
    assert found.chips == 4


def test_rows_of_a_softmax_stay_whole() -> None:
    """Rows of 4 on chips of 10: two a chip."""
    found = pack([piece("a", 20, 0, together=4)], Room((10, 0, math.inf), math.inf), TECHNOLOGY, "m")
    assert found.chips == 3
    with pytest.raises(Error, match=r"a row of 12 nodes of 'a', .* needs 12 nodes on one chip, m has 10, 2 too few"):
        pack([piece("a", 24, 0, together=12)], Room((10, 0, math.inf), math.inf), TECHNOLOGY, "m")


def test_a_node_with_too_many_couplings_is_cut_into_sums() -> None:
    """5 nodes of 25 couplings, 10 a node: 3 sums each, and 3 couplings that add them up."""
    found = pack([piece("a", 5, 125)], Room((40, 1000, math.inf), 10), TECHNOLOGY, "m")
    assert (found.cut, found.partial) == (5, 15)
    assert found.used[:2] == (20, 140)


def test_a_node_that_no_chip_has_the_couplings_for() -> None:
    with pytest.raises(Error, match=r"a node of 'a' needs 25 couplings on one chip, m has 12, 13 too few"):
        pack([piece("a", 5, 125)], Room((40, 12, math.inf), math.inf), TECHNOLOGY, "m")


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(20, 60),
    st.integers(200, 900),
)
def test_all_are_placed_in_order_and_no_chip_holds_too_much(
    arrays: list[tuple[int, int, int]], nodes: int, couplings: int
) -> None:
    pieces = [piece(str(i), n * together, n * together * fan, together) for i, (n, fan, together) in enumerate(arrays)]
    found = pack(pieces, Room((nodes, couplings, math.inf), math.inf), TECHNOLOGY, "m")
    spans = list(found.span.values())
    assert spans[0].first == 0 and spans[-1].last == found.chips - 1
    for before, after in itertools.pairwise(spans):
        assert before.first <= before.last <= after.first + 1 and after.first - before.last in (0, 1)
    for used, room in zip(found.used, (nodes, couplings), strict=False):
        assert used <= found.chips * room
    # Every full chip has less room left than one more group of what comes next needs.
    waste = max(p.together for p in pieces), max(p.together * p.units / p.nodes for p in pieces)
    full = [used / (room - left) for used, room, left in zip(found.used, (nodes, couplings), waste, strict=False)]
    assert found.chips <= math.ceil(sum(full)) + 1
