"""Periphery: conveyors by their r_x, output stages of class A and AB, wires, converters, refresh, controller."""

from typing import Any

import numpy as np
import pytest
from energy_circuits import TAU, VDD, G, tile

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.technology import Technology, load_technology
from dsmachine.emulator.run import transient
from dsmachine.energy.meter import EnergyMeter, EnergyReport

TECH = load_technology()
T = 10 * TAU


def chain(*, siemens: float = 1.0, input_resistance: float = 0.0) -> Circuit:
    """u -> v, ΣG at v `siemens` g, -> w, 3,000 couplings of 0.1."""
    circuit = Circuit("chain")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,), layer="v", input_resistance=input_resistance)
    circuit.nodes("w", (3000,), layer="w", full_scale=0.2)
    circuit.couple("in", "u", "v", siemens)
    circuit.couple("row", "v", "w", np.full((3000, 1), 0.1))
    return circuit


def weigh(circuit: Circuit, volts: float, technology: Technology = TECH, **options: Any) -> EnergyReport:
    meter = EnergyMeter(technology, **options)
    transient(circuit, {"u": [volts]}, duration=T, tolerance=1e-7, precision="float64", observers=[meter])
    return meter.report()


def drawn(report: EnergyReport, part: str, layer: str) -> float:
    return float(sum(e.drawn[0] for e in report.entries if (e.part, e.layer) == (part, layer)))


def test_a_conveyor_of_more_couplings_takes_more_bias() -> None:
    """r_x ΣG ≤ 1 %, and I ∝ 1/r_x: 100 g ask for 3.1 Ω, 18/3.1 times the technology's 10 µA. At 0 V nothing else
    flows."""
    few, many = (weigh(chain(siemens=share), 0.0) for share in (10.0, 100.0))
    assert drawn(few, "conveyors", "v") == pytest.approx(VDD * 10e-6 * T)
    ohms = 0.01 / (100 * G)
    assert drawn(many, "conveyors", "v") == pytest.approx(VDD * 10e-6 * 18 / ohms * T)
    assert drawn(many, "conveyors", "w") == pytest.approx(VDD * 3000 * 10e-6 * T)
    assert any("3.1 Ω" in line for line in many.assumed)
    loose = weigh(chain(siemens=100.0), 0.0, TECH.changed({"conveyor.gain_error": 0.2}, "test"))
    assert drawn(loose, "conveyors", "v") == pytest.approx(VDD * 10e-6 * T)


def test_a_conveyor_whose_resistance_is_felt_takes_what_it_asks_for() -> None:
    for ohms in (9.0, 180.0):
        found = weigh(chain(siemens=100.0, input_resistance=ohms), 0.0)
        assert drawn(found, "conveyors", "v") == pytest.approx(VDD * 10e-6 * 18 / ohms * T)


def test_class_a_draws_the_largest_current_all_along() -> None:
    """Bias and Σ|G| V_rail, whatever the signal; class AB at rest at the rail draws the same."""
    rail = 0.5
    quiet, loud = (weigh(chain(), volts, output_class="A") for volts in (0.0, 0.3))
    for part, layer in (("coupling", "v"), ("coupling", "w"), ("conveyors", "v"), ("conveyors", "w"), ("buffers", "v")):
        assert drawn(quiet, part, layer) == pytest.approx(drawn(loud, part, layer)), (part, layer)
    assert drawn(quiet, "coupling", "w") == pytest.approx(VDD * 300 * G * rail * T)
    assert drawn(quiet, "conveyors", "v") == pytest.approx(VDD * (10e-6 + G * rail) * T)
    assert quiet.dissipated < loud.dissipated and loud.dissipated == pytest.approx(weigh(chain(), 0.3).dissipated)
    assert weigh(chain(), 0.3).total < loud.total
    assert any("class A" in line for line in loud.assumed)
    with pytest.raises(Error, match="output_class 'B' is unknown: use 'AB' or 'A'"):
        EnergyMeter(output_class="B")


def test_buffers_charge_their_row() -> None:
    """C V from the supply for a row of 3,000 couplings of 1.6 µm, beside the bias of three tiles."""
    found, farads = weigh(chain(), 0.3), 0.111e-9 * 1.6e-6 * 3000
    volts = 0.3 * (1 - np.exp(-T / TAU))
    assert drawn(found, "buffers", "v") == pytest.approx(VDD * (3 * 20e-6 * T + farads * volts), rel=1e-6)


def test_conversions_follow_their_figure_of_merit() -> None:
    """E = FoM 2^b: DS-ISA's 13.3 pJ of 8 bits are 52 fJ a step; 10 bits take four times the energy and the time."""
    circuit, _ = tile()
    circuit.output = "p"
    reports = {}
    for bits in (6, 8, 10):
        meter = EnergyMeter(adc_bits=bits, dac_bits=bits)
        transient(circuit, {"u": np.ones((2, 3))}, duration=T, observers=[meter])
        reports[bits] = meter.report()
        assert any("ADCs of" in line and "52 fJ a step" in line for line in reports[bits].assumed)
        joules = {e.phase: e.drawn[0] for e in reports[bits].entries if e.part == "converters"}
        assert joules["read"] == pytest.approx(3 * 13.3e-12 * 2.0 ** (bits - 8))
        assert joules["load"] == pytest.approx(6 * 4e-12 * 2.0 ** (bits - 8))
    assert reports[6].phases["read"] == reports[8].phases["read"] == pytest.approx(1e-9)
    assert reports[10].phases["read"] == pytest.approx(4e-9)


@pytest.mark.parametrize("bits", [6, 8, 10])
def test_refresh_is_leakage_against_half_a_step(bits: int) -> None:
    """Every C ΔV/I_off, ΔV = 2 mV at 8 bits, a conversion of E ∝ 2^b: power ∝ 4^b."""
    circuit, _ = tile()
    meter = EnergyMeter(weight_bits=bits)
    transient(circuit, {"u": np.ones((2, 3))}, duration=T, observers=[meter])
    report, interval = meter.report(), 49e-15 * 2e-3 * 2.0 ** (8 - bits) / 69e-12
    joules = report.weights * 4e-12 * 2.0 ** (bits - 8) / interval * report.latency
    assert report.by("part")["refresh"][0] == pytest.approx(joules)
    assert report.by("part")["retention"][0] == pytest.approx(report.weights * 69e-12 * VDD * report.latency)
    assert report.programming == pytest.approx(report.weights * 4e-12 * 2.0 ** (bits - 8))


def test_the_controller_waits_for_weights_that_are_no_copies() -> None:
    """Twelve weights, shared by two positions, at 4.6 µW scaled to 45 nm, from reset to reading."""
    circuit, _ = tile()
    meter = EnergyMeter()
    transient(circuit, {"u": np.ones((2, 3))}, duration=T, observers=[meter])
    report = meter.report()
    assert report.weights == 24
    assert report.by("part")["controller"][0] == pytest.approx(12 * 4.6e-6 * 0.24 * report.latency)
    assert set(report.without("controller").by("phase")) <= set(report.phases)


def test_anneal_takes_a_class(tmp_path: Any) -> None:
    joules = {
        name: ds.anneal("tiny-shakespeare", "ab", timer_prompts=0, output_class=name).energy for name in ("A", "AB")
    }
    assert joules["A"].total > joules["AB"].total
    assert joules["A"].dissipated == pytest.approx(joules["AB"].dissipated)
    with pytest.raises(Error, match="output_class"):
        ds.anneal("tiny-shakespeare", "ab", output_class="C")


def test_who_reads_the_last_position_waits_for_its_conversions_alone() -> None:
    """Of tile()'s output, 2 × 2 nodes of which three exist, the last position has some; none are read of "none"."""
    circuit, _ = tile()
    circuit.output = "p"
    last = int(circuit.arrays["p"].present[-1].sum())
    few = TECH.changed({"converter.adc_count": 1}, "test")
    for read, nodes, positions in (("all", 3, 2), ("last", last, 1), ("none", 0, 0)):
        meter = EnergyMeter(few, read=read)
        transient(circuit, {"u": np.ones((2, 3))}, duration=T, observers=[meter])
        report = meter.report()
        assert report.phases["read"] == pytest.approx(nodes * 1e-9) and report.read == positions
        assert float(report.by("phase").get("read", (np.zeros(1),))[0][0]) >= nodes * 13.3e-12
        joules = sum(e.drawn[0] for e in report.entries if (e.part, e.phase) == ("converters", "read"))
        assert joules == pytest.approx(nodes * 13.3e-12)
    with pytest.raises(Error, match="read 'first' is unknown: use 'all' or 'last' or 'none'"):
        EnergyMeter(read="first")


def test_weights_behind_low_leakage_switches_are_refreshed_a_hundredth_as_often() -> None:
    circuit, _ = tile()
    joules = {}
    for hold in ("plain", "low-leakage"):
        meter = EnergyMeter(weight_hold=hold)
        transient(circuit, {"u": np.ones((2, 3))}, duration=T, observers=[meter])
        parts = meter.report().by("part")
        joules[hold] = [parts[part][0] for part in ("refresh", "retention", "coupling")]
        assert any(f"behind {hold} switches" in line for line in meter.report().assumed)
    ratio = TECH.switch.off_current / TECH.switch.low_leakage_current
    plain, low = joules["plain"], joules["low-leakage"]
    assert plain[0] == pytest.approx(ratio * low[0]) and plain[1] == pytest.approx(ratio * low[1])
    assert plain[2] == pytest.approx(low[2])
    with pytest.raises(Error, match="weight_hold 'ideal' is unknown"):
        EnergyMeter(weight_hold="ideal")


def test_anneal_reads_the_last_position_unless_asked_for_all() -> None:
    last, whole = (ds.anneal("tiny-shakespeare", "abcd", timer_prompts=0, **o).energy for o in ({}, {"read": "all"}))
    one, four = (
        sum(e.drawn[0] for e in report.entries if (e.part, e.phase) == ("converters", "read"))
        for report in (last, whole)
    )
    assert four == pytest.approx(4 * one)
    assert last.total < whole.total and last.dissipated == pytest.approx(whole.dissipated)
    assert last.to_json()["positions_read"] == 1 and whole.to_json()["positions_read"] == 4
