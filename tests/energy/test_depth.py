"""A deep machine from its first blocks: exact where blocks are alike, refused where there is nothing to go by."""

from typing import Any

import numpy as np
import pytest

from dsmachine.circuits.errors import Error
from dsmachine.energy.depth import joules_of_depth, settling_of_depth
from dsmachine.energy.report import Entry


class Account:
    """As much of an EnergyReport as the law reads."""

    circuit = "machine"

    def __init__(self, blocks: int) -> None:
        layers = [f"h.{k}" for k in range(blocks)]
        self.entries = [
            Entry(part, layer, phase, np.array([joules]), np.zeros(1))
            for layer in layers
            for part, phase, joules in (
                ("coupling", "anneal", 2.0),
                ("refresh", "anneal", 3.0),
                ("refresh", "read", 1.0),
            )
        ] + [Entry("converters", "head", "read", np.array([7.0]), np.zeros(1))]


def test_blocks_that_are_alike_scale_and_the_rest_does_not() -> None:
    few: Any = Account(2)
    whole: Any = Account(12)
    assert joules_of_depth(few, 12) == joules_of_depth(whole, 12)
    assert joules_of_depth(few, 12)["converters"] == {"read": 7.0}


@pytest.mark.parametrize(("blocks", "layers"), [(0, 12), (3, 2)])
def test_what_cannot_be_scaled_is_refused(blocks: int, layers: int) -> None:
    account: Any = Account(blocks)
    with pytest.raises(Error, match=f"machine has {blocks} blocks, asked for {layers}"):
        joules_of_depth(account, layers)


def test_settling_follows_a_line_through_the_later_half() -> None:
    seconds = {"": 0.0, "h.0": 9.0, "h.1": 9.5} | {f"h.{k}": 10.0 + 2.0 * k for k in range(2, 6)} | {"head": 22.0}
    assert settling_of_depth(seconds, 6) == pytest.approx(22.0)
    assert settling_of_depth(seconds, 10) == pytest.approx(30.0)
    with pytest.raises(Error, match="3 blocks say nothing of 9"):
        settling_of_depth({"h.0": 1.0, "h.1": 2.0, "h.2": 3.0}, 9)
