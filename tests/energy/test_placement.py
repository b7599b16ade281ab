"""Placement by hand: two arrays on two chips, and what passes, copies and distance to memory change."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.sketch import sketch
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.machine import Chip, Machine
from dsmachine.energy.placement import place

TECHNOLOGY = ds.load_technology()
D, OUT = 96, 200
BITS, DAC, ADC = TECHNOLOGY.converter.bits, TECHNOLOGY.converter.dac_count, TECHNOLOGY.converter.adc_count
TPU = ds.load_machine("ds-tpu")


def machine(nodes: int, couplings: int) -> Machine:
    return replace(TPU, name="small", chip=Chip(1e-6, 0.5, nodes, couplings, None))


def two_layers() -> ds.Circuit:
    """u (8) → a (D) → b (OUT), dense."""
    circuit = ds.Circuit("two layers")
    circuit.clamp("u", (8,))
    for name, count, before, width in (("a", D, "u", 8), ("b", OUT, "a", D)):
        circuit.nodes(name, (count,))
        circuit.couple(f"{before}{name}", before, name, np.ones((count, width)))
    circuit.output = "b"
    return circuit


def test_two_arrays_on_two_chips() -> None:
    """D values leave the first chip, once each, for a chip that holds all that read them."""
    found = ds.place(two_layers(), replace(machine(OUT, 10**6)))
    assert (found.needed, found.chips, found.passes) == (2, 2, 1)
    assert found.nodes == D + OUT and found.counts["coupling"] == 8 * D + D * OUT
    assert (found.area_m2, found.power_w) == (2e-6, 1.0)
    assert found.full == pytest.approx({"nodes": (D + OUT) / (2 * OUT), "couplings": (8 * D + D * OUT) / 2e6})


def one_each() -> Machine:
    """Chips that hold an array each: `a` fills one by its nodes."""
    return machine(D, 10**6)


def test_values_cross_once_for_each_chip_that_reads_them() -> None:
    found = ds.place(two_layers(), one_each())
    assert found.needed == 1 + -(-OUT // D)
    copies = D * 3  # `b` is on three chips
    assert found.crossing == copies
    converter, link = TECHNOLOGY.converter, TPU.link
    joules = D * converter.adc_energy + copies * (BITS * link.energy + converter.dac_energy)
    seconds = np.ceil(D / ADC) * converter.adc_time + copies * BITS / (link.lanes * link.rate)
    seconds += np.ceil(copies / (3 * DAC)) * converter.dac_time
    assert found.transfer.joules == pytest.approx(joules)
    assert found.transfer.seconds == pytest.approx(seconds)


def test_weights_are_programmed_once_or_for_each_pass() -> None:
    weights = 8 * D + D * OUT
    spatial, passes = (ds.place(two_layers(), one_each(), chips=chips) for chips in (None, 1))
    bits = weights * BITS
    for found, chips in ((spatial, 4), (passes, 1)):
        assert found.weights == weights and found.chips == chips
        writing = weights / (chips * DAC) * TECHNOLOGY.converter.dac_time
        assert found.programming.seconds == pytest.approx(max(writing, bits / TPU.memory.rate))
        joules = weights * TECHNOLOGY.switch.refresh_energy + bits * TPU.memory.energy
        assert found.programming.joules == pytest.approx(joules)
    assert (spatial.passes, passes.passes) == (1, 4)
    assert spatial.reprogramming["prompt"].joules == 0
    assert passes.reprogramming["prompt"] == passes.programming
    # What crosses now waits in the memory: written and read.
    assert passes.transfer.joules - spatial.transfer.joules == pytest.approx(
        passes.crossing * BITS * (2 * TPU.memory.energy - TPU.link.energy)
    )


def test_one_chip_that_holds_all_sends_nothing() -> None:
    found = ds.place(two_layers(), machine(10**6, 10**7))
    assert (found.needed, found.crossing, found.transfer.seconds, found.transfer.joules) == (1, 0, 0.0, 0.0)


def test_sizes_alone_are_placed_as_the_mapped_circuit() -> None:
    circuit = ds.map_model("tiny-shakespeare", 8)
    by_sizes, mapped = ds.place("tiny-shakespeare", tokens=8), ds.place(circuit)
    assert by_sizes == mapped


def test_positions_have_copies_of_weights_and_read_them_from_memory_once() -> None:
    few, many = (ds.place("gpt2", "wafer", tokens=n) for n in (4, 8))
    assert many.weights == 2 * few.weights
    written = (many.weights - few.weights) * TECHNOLOGY.switch.refresh_energy
    assert many.programming.joules - few.programming.joules == pytest.approx(written)


def test_a_generated_token_also_has_its_keys_and_values_loaded() -> None:
    found = ds.place("tiny-shakespeare", "brim", tokens=8, mode="serial", chips=1)
    assert set(found.reprogramming) == {"prompt", "token"} and found.passes == found.needed
    circuit = ds.map_model("tiny-shakespeare", 8, tokens="serial")
    held = sum(node.count for node in circuit.inputs() if node.stored)
    more = found.reprogramming["token"].joules - found.reprogramming["prompt"].joules
    assert more == pytest.approx(held * (TECHNOLOGY.switch.refresh_energy + BITS * TPU.memory.energy))


def test_serial_machines_are_smaller_and_send_each_token() -> None:
    parallel, serial = (ds.place("tiny-shakespeare", tokens=16, mode=mode) for mode in ("parallel", "serial"))
    assert serial.counts["coupling"] < parallel.counts["coupling"] / 10
    one = ds.place(ds.map_model("tiny-shakespeare", 16, tokens="serial"))
    assert one == serial and serial.crossing % 16 == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chips": 0}, "chips is 0: give 1 or more"),
        ({"mode": "both"}, "mode 'both' is unknown: use parallel or serial"),
        ({"tokens": 10**6}, r"tokens is 1000000: use a whole number, 1 … 128, the context of tiny-shakespeare"),
        ({"machine": "abacus"}, "machine 'abacus' is unknown"),
    ],
)
def test_what_cannot_be_placed_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Error, match=said):
        ds.place("tiny-shakespeare", **({"tokens": 16} | options))


def test_too_few_chips_without_passes_are_counted() -> None:
    needed = ds.place("tiny-shakespeare", tokens=16).needed
    with pytest.raises(Error, match=f"needs {needed} chips of ds-tpu, 2 are there, {needed - 2} too few: give more"):
        ds.place("tiny-shakespeare", tokens=16, chips=2, passes=False)


def test_a_circuit_has_tokens_of_its_own() -> None:
    with pytest.raises(Error, match="tokens and mode of 'two layers' are the circuit's own: leave them out"):
        ds.place(two_layers(), tokens=3)


def test_a_wafer_of_converters_holds_nothing() -> None:
    chip = replace(TPU.chip, area=1e-5, nodes=None, couplings=None, fan_in=None)
    with pytest.raises(Error, match=r"chip.area of ds-tpu is 10 mm², its converters take 63.36 mm²"):
        ds.place("tiny-shakespeare", replace(TPU, chip=chip))


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes of two small sketches say those of a large one."""
    monkeypatch.setattr("dsmachine.energy.placement.host_room", lambda: 10**9)
    with pytest.raises(Error, match=r"gpt2 with 1,000 tokens side by side needs .* GB of memory, 1 GB are free"):
        place("gpt2", "ds-tpu", tokens=1000)
    circuit = sketch("gpt2", SHAPES["gpt2"], 16, TECHNOLOGY)
    needed = 20 * sum(math.prod(node.shape) for node in circuit.arrays.values())
    monkeypatch.setattr("dsmachine.energy.placement.host_room", lambda: needed - 1)
    with pytest.raises(Error, match="side by side"):
        place("gpt2", "ds-tpu", tokens=16)
    monkeypatch.setattr("dsmachine.energy.placement.host_room", lambda: needed)
    assert place("gpt2", "ds-tpu", tokens=16).tokens == 16
