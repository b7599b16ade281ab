"""Emulated machines on chips: what transfers, passes and waiting add, and what stays as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dsmachine.circuits.errors import Error
from dsmachine.circuits.shapes import SHAPES
from dsmachine.circuits.technology import load_technology
from dsmachine.energy.machine import load_machine
from dsmachine.energy.placed import on_chips, placement_of
from dsmachine.energy.placement import Placement, place
from dsmachine.energy.systems import SPATIAL, Machine

TECHNOLOGY = load_technology("cmos45")
MACHINE = Machine(
    model="gpt2",
    tokens=8,
    phases={"reset": 1e-6, "load": 1e-6, "anneal": 1e-6, "read": 1e-6},
    joules_by_part={"coupling": 1e-6, "refresh": 2e-6, "controller": 1e-6},
    assumptions=("made up", SPATIAL),
    sizes=SHAPES["gpt2"].plain(),
)
LEARNER = replace(MACHINE, phases={"load": 1e-6, "anneal": 2e-6, "backward": 1e-6})


def staged(placement: Placement) -> float:
    """Seconds to settle to 8 bits, stage after stage of bare nodes."""
    return placement.stages * 8 * math.log(2) * TECHNOLOGY.node.capacitance / TECHNOLOGY.node.conductance


def test_transfers_are_added_and_weights_are_kept_meanwhile() -> None:
    placement = place("gpt2", "ds-tpu", tokens=8)
    found = on_chips(MACHINE, placement, TECHNOLOGY)
    assert found.phases["transfer"] == placement.transfer.seconds
    assert found.joules_by_part["transfer"] == placement.transfer.joules
    assert found.phases["anneal"] == pytest.approx(staged(placement)) and staged(placement) > 1e-6
    assert found.latency == pytest.approx(3e-6 + found.phases["anneal"] + placement.transfer.seconds)
    assert found.joules_by_part["refresh"] == pytest.approx(2e-6 * found.latency / MACHINE.latency)
    assert found.joules_by_part["coupling"] == 1e-6 and "reprogramming" not in found.phases
    assert found.beside == {"programming, once": (placement.programming.seconds, placement.programming.joules)}
    assert found.system == f"emulated machine, {placement.chips:,} × ds-tpu"
    assert SPATIAL not in found.assumptions and "not counted of it: package" in found.assumptions[-1]


def test_passes_are_reprogrammed_and_keep_a_share_of_the_weights() -> None:
    placement = place("gpt2", "ds-tpu", tokens=8, chips=8)
    found = on_chips(MACHINE, placement, TECHNOLOGY)
    assert placement.passes > 1
    assert found.phases["reprogramming"] == placement.reprogramming["prompt"].seconds
    assert found.joules_by_part["reprogramming"] == placement.reprogramming["prompt"].joules
    share = found.latency / MACHINE.latency / placement.passes
    assert found.joules_by_part["refresh"] == pytest.approx(2e-6 * share)
    assert not found.beside and f"in {placement.passes:,} passes" in found.assumptions[-1]


def test_what_learns_crosses_both_ways() -> None:
    placement = place("gpt2", "ds-tpu", tokens=8, chips=8)
    found = on_chips(LEARNER, placement, TECHNOLOGY)
    assert found.phases["transfer"] == 2 * placement.transfer.seconds
    assert found.phases["anneal"] == pytest.approx(max(2e-6, staged(placement)))
    assert found.phases["backward"] == pytest.approx(max(1e-6, staged(placement)))
    assert found.joules_by_part["reprogramming"] == 2 * placement.reprogramming["prompt"].joules


def test_a_wafer_adds_nothing_but_its_programming() -> None:
    found = on_chips(MACHINE, placement_of(MACHINE, load_machine("wafer"), TECHNOLOGY), TECHNOLOGY)
    assert found.phases["transfer"] == 0 and found.latency == pytest.approx(MACHINE.latency)
    assert found.joules == pytest.approx(MACHINE.joules) and found.beside["programming, once"][1] > 0


def test_placing_from_sizes_is_placing_by_name() -> None:
    assert placement_of(MACHINE, load_machine("ds-tpu"), TECHNOLOGY) == place("gpt2", "ds-tpu", tokens=8)


def test_without_sizes_it_says_what_to_do() -> None:
    with pytest.raises(Error, match="lacks the sizes of a parallel machine; anneal it again"):
        placement_of(replace(MACHINE, sizes=None), load_machine("ds-tpu"), TECHNOLOGY)
