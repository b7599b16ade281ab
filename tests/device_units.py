"""Transistors of the bundled model cards, characterised once a test run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from dsmachine.circuits.cells.channel import Channels
from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.cells.mos.support import Support
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.circuits.devices.models import load_models
from dsmachine.netlists.cells import measure_cell
from dsmachine.netlists.channels import measure_channels
from dsmachine.netlists.characterize import characterize
from dsmachine.netlists.lags import measure_finger
from dsmachine.netlists.supports import measure_support


@cache
def card(unit: Any = "pair", swing: float = 0.3) -> DeviceCard:
    """A coupling finger of 120 nm × 1 µm; conductances are slopes over ±0.2 V, the full scale of a swing of 0.3 V."""
    return characterize(unit, engine="batch", overrides={"supply.swing": swing})


@cache
def fed() -> DeviceCard:
    """The pair's card, with its transistor between two sides measured too."""
    return replace(card(), cells={"feedback": measure_cell("feedback", transistors())})


@cache
def support(kind: str) -> Support:
    """What conveyors and buffers of a class do."""
    return measure_support(transistors(), kind)


@cache
def finger() -> float:
    """What a finger of a feedback device hangs between the sides."""
    return measure_finger(Transistors(load_models(), card()), "batch")


@cache
def channels() -> Channels:
    """Noise of the transistors inside cells."""
    return measure_channels(transistors())


def transistors(unit: str = "pair", conveyor: str = "ideal", buffer: str = "ideal", **options: Any) -> Transistors:
    """Machines of such fingers, their nodes made smaller by what a real conveyor hangs on them."""
    pair = card("pair") if unit == "single" else None
    state = None if conveyor == "ideal" else support(conveyor)
    options = {"support": state, "finger_capacitance": finger()} | options
    return Transistors(load_models(), card(unit), pair, conveyor, buffer, **options)
