"""Netlists of transistors: what ngspice makes of them, against the device card's and the cells' own laws."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cell_circuits import dense
from device_bench import analysed, settled
from device_units import card, fed, support, transistors
from scipy.optimize import brentq
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.cells import machine_of_transistors, with_transistors
from dsmachine.circuits.cells.mos.coupling import fingers
from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.cells.mos.node import HOLD, constant_gate
from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.chip import fabricate, flickered
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.circuits.errors import Error
from dsmachine.circuits.followers import with_common_mode, with_followers
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import operating_point, transient
from dsmachine.energy.meter import EnergyMeter
from dsmachine.netlists.cells import measure_cell
from dsmachine.netlists.characterize import characterize
from dsmachine.netlists.crosscheck import CrossCheck, crosscheck
from dsmachine.netlists.dialects import LARGE
from dsmachine.netlists.ngspice import run_netlist
from dsmachine.netlists.supports import _Bench, transistors_of
from dsmachine.netlists.writer import write_netlist

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
pytestmark = [pytest.mark.spice, NGSPICE]
LATE = ("delay", "inductance")


def small(rows: int = 4, input_resistance: float = 0.0) -> tuple[Circuit, dict[str, Any]]:
    """A tile of inputs up to ±0.1 V, of nodes of ±0.3 V and full scale 0.2 V."""
    rng = np.random.default_rng(rows)
    circuit = Circuit("small", temperature=300.15)
    circuit.clamp("u", (rows,), rail=0.3, full_scale=0.2)
    circuit.nodes("v", (rows,), rail=0.3, full_scale=0.2, input_resistance=input_resistance)
    circuit.couple("w", "u", "v", rng.normal(size=(rows, rows)) / np.sqrt(rows))
    return circuit, {"u": rng.uniform(-0.1, 0.1, rows)}


def two_tiles() -> tuple[Circuit, dict[str, Any]]:
    """16 × 16 twice, buffers between."""
    circuit, inputs = small(16)
    circuit.nodes("w", (16,), rail=0.3, full_scale=0.2)
    circuit.couple("next", "v", "w", np.random.default_rng(5).normal(size=(16, 16)) / 4)
    return circuit, inputs


def rest(unit_card: DeviceCard, devices: Transistors) -> list[float]:
    """Where `small` rests. Couplings Σ ± m I(V_ij, u_j) as their card has it; the node's device between its sides as it
    was swept, beside the resistors that hold them: I = h v + F(v)."""
    circuit, inputs = small()
    siemens = circuit.terms["w"].siemens(circuit)
    m = fingers(unit_card, float(np.abs(siemens).max()))
    gates = unit_card.control(np.abs(siemens) / m)
    units = np.sign(siemens) * m * unit_card.current(gates, np.broadcast_to(inputs["u"], gates.shape))
    g = circuit.arrays["v"].conductance
    own, gate = constant_gate(devices.pair_card, np.array((1 - HOLD) * g))
    device: Any = measure_cell("feedback", devices)

    def missing(v: float, amperes: float) -> float:
        return HOLD * g * v + own * float(device.current(float(gate), np.array([v]))[0]) - amperes

    return [float(np.copysign(brentq(missing, 0, 0.3, args=(abs(i),)), i)) for i in units.sum(axis=1)]


@pytest.mark.parametrize("unit", ["single", "pair", "quad"])
def test_a_tile_rests_where_its_device_card_says(unit: str) -> None:
    circuit, inputs = small()
    found = settled(circuit, inputs, transistors(unit))
    assert found["v"] == pytest.approx(rest(card(unit), transistors(unit)), abs=2e-3 * 0.2)


def test_corner_and_temperature_of_the_card_are_the_netlists() -> None:
    """A slow chip at 85 °C; at 27 °C or typical it would rest elsewhere, since gates stay."""
    circuit, inputs = small()
    there: dict[str, Any] = {
        "corner": "SS",
        "temperature": 358.15,
        "engine": "batch",
        "overrides": {"supply.swing": 0.3},
    }
    pair = characterize("pair", **there)
    devices = transistors_of(pair)
    assert devices.threshold > 0 and devices.mobility < 1
    found = settled(circuit, inputs, devices)["v"]
    assert found == pytest.approx(rest(pair, devices), abs=2e-3 * 0.2)
    warm = replace(devices, threshold=0.0, mobility=1.0)
    assert np.abs(settled(circuit, inputs, warm)["v"] - found).max() > 2e-3 * 0.2


@pytest.mark.parametrize(("conveyor", "buffer"), [("ideal", "ideal"), ("A", "A"), ("AB", "AB")])
def test_a_tile_agrees_with_the_linear_law(conveyor: str, buffer: str) -> None:
    circuit, inputs = small()
    ideal = operating_point(circuit, inputs).outputs["v"][0]
    found = settled(circuit, inputs, transistors(conveyor=conveyor, buffer=buffer))
    assert found["v"] == pytest.approx(ideal, abs=0.06 * np.abs(ideal).max())


def test_a_chain_goes_through_real_buffers() -> None:
    """Two tiles in a row, between them buffers of gain 0.97."""
    circuit, inputs = small()
    circuit.nodes("w", (4,))
    circuit.couple("next", "v", "w", np.eye(4))
    found = settled(circuit, inputs, transistors(conveyor="A", buffer="A"))
    assert found["w"] == pytest.approx(found["v"], rel=0.06, abs=3e-3)


@pytest.mark.parametrize("unit", ["pair", "quad"])
def test_a_tile_of_16_with_its_card(unit: str) -> None:
    """The crossbar of r products against 16 × 16 units of transistors, in time."""
    circuit, inputs = small(16)
    crossbar = with_transistors(circuit, card(unit))
    devices = transistors(unit, feedback="ideal")
    found = crosscheck(crossbar, inputs=inputs, level="device", transistors=devices, engine="batch", limit=5e-3)
    assert found.passed, found.nrmse
    linear = crosscheck(circuit, inputs=inputs, level="device", transistors=devices, engine="batch", limit=1.0)
    assert found.nrmse < linear.nrmse


def followed(circuit: Circuit, kind: str) -> Circuit:
    """A circuit with the conveyors and buffers that `transistors` of a class have."""
    behind = with_followers(circuit, load_technology(overrides=support(kind).overrides()))
    return with_common_mode(behind, support(kind))


@pytest.mark.parametrize("unit", ["single", "pair", "quad"])
@pytest.mark.parametrize(
    ("spread", "flicker"),
    [({}, 0.0), ({"trim": {"write-verify": 0.005}}, 3e-10), ({"mismatch": 0.03, "vt_mismatch": 0.01}, 0.0)],
    ids=["as made", "trimmed, flickering", "relative and additive too"],
)
def test_a_tile_of_a_chip_has_the_chips_transistors(unit: str, spread: dict[str, Any], flicker: float) -> None:
    """Each threshold and current factor in the netlist is the one that the emulator drew."""
    circuit, inputs = small(16)
    design = with_transistors(circuit, card(unit))
    made = fabricate(design, seed=2, threshold_area=3.5e-9, beta_area=1.5e-8, threshold_gradient=1e-3, **spread)
    chip = flickered(made, flicker, noise_seed=1)
    devices = transistors(unit, feedback="ideal")
    found = crosscheck(chip, inputs=inputs, level="device", transistors=devices, engine="batch", limit=5e-3)
    assert found.passed, found.nrmse
    ours = [operating_point(machine, inputs).outputs["v"][0] for machine in (chip, design)]
    spice = [settled(machine, inputs, devices)["v"] for machine in (chip.circuit, design)]
    moved = ours[0] - ours[1]
    assert np.std(spice[0] - spice[1] - moved) < 0.05 * np.std(moved) + 1e-4
    part = crosscheck(
        chip, select="w[4:12,2:14]", inputs=inputs, level="device", transistors=devices, engine="batch", limit=5e-3
    )
    assert part.passed, part.nrmse


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["A", "AB"])
@pytest.mark.parametrize("feedback", ["ideal", "transistors"])
def test_a_tile_of_16_behind_real_conveyors(kind: str, feedback: str) -> None:
    """The card's crossbar behind r_x and copies of gain c, as measured of the conveyor alone."""
    circuit, inputs = small(16)
    bends = feedback == "transistors"
    tile = machine_of_transistors(circuit, fed()) if bends else with_transistors(circuit, card())
    options: dict[str, Any] = {"inputs": inputs, "level": "device", "engine": "batch", "limit": 2e-3}
    options["transistors"] = transistors(conveyor=kind, feedback=feedback)
    found, bare = crosscheck(followed(tile, kind), **options), crosscheck(tile, **options)
    assert found.passed, found.nrmse
    assert bare.nrmse > 3 * found.nrmse


@pytest.mark.parametrize("kind", ["A", "AB"])
def test_two_tiles_rest_where_their_followers_take_them(kind: str) -> None:
    """16 × 16 twice, buffers between: within 3e-3 of full scale at rest, a fifth of what it is without the gains."""
    circuit, inputs = two_tiles()
    tiles = machine_of_transistors(circuit, fed())
    found = settled(tiles, inputs, transistors(conveyor=kind, buffer=kind))["w"]
    errors = [found - ds.operating_point(each, inputs).outputs["w"][0] for each in (followed(tiles, kind), tiles)]
    known, bare = (float(np.sqrt((error**2).mean())) / 0.2 for error in errors)
    assert known < 3e-3 and bare > 5 * known


@pytest.mark.slow
def test_write_verify_makes_up_for_where_followers_leave_the_sides() -> None:
    """In ngspice the second of two trimmed tiles behind class A has what was wanted of its couplings; written at V_CM
    it has 1.7 % more."""
    circuit, inputs = two_tiles()
    tiles, devices = machine_of_transistors(circuit, fed()), transistors(conveyor="A", buffer="A")
    behind = with_followers(tiles, load_technology(overrides=support("A").overrides()))
    spread: dict[str, Any] = {"seed": 2, "threshold_area": 3.5e-9, "trim": {"write-verify": 0.0}}
    wanted = ds.operating_point(behind, inputs).outputs["w"][0]
    chips = [fabricate(each, **spread).circuit for each in (followed(tiles, "A"), behind)]
    there, at_v_cm = (settled(chip, inputs, devices)["w"] for chip in chips)
    error = there - ds.operating_point(chips[0], inputs).outputs["w"][0]
    assert float(np.sqrt((error**2).mean())) / 0.2 < 3e-3
    assert there @ wanted / (wanted @ wanted) == pytest.approx(1, abs=8e-3)
    assert at_v_cm @ wanted / (wanted @ wanted) == pytest.approx(1.017, abs=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["A", "AB"])
@pytest.mark.parametrize("feedback", ["ideal", "transistors"])
def test_two_tiles_in_time(kind: str, feedback: str) -> None:
    """Conveyors and buffers of the second tile are late, by their own delay and what its couplings make more of it."""
    circuit, inputs = two_tiles()
    cells = {name: measure_cell(name, transistors()) for name in ("feedback", "transit")}
    tiles = machine_of_transistors(circuit, replace(card(), cells=cells), feedback=feedback == "transistors")
    options: dict[str, Any] = {"inputs": inputs, "level": "device", "engine": "batch", "limit": 3e-3}
    options["transistors"] = transistors(conveyor=kind, buffer=kind, feedback=feedback)
    found = crosscheck(followed(tiles, kind), **options)
    assert found.passed, found.by_array
    numbers = {name: 0.0 if name.endswith(LATE) else one for name, one in support(kind).overrides().items()}
    at_once = crosscheck(with_followers(tiles, load_technology(overrides=numbers)), **options)
    assert at_once.by_array["w"] > 1.5 * found.by_array["w"]


@pytest.mark.parametrize("kind", ["A", "AB"])
@pytest.mark.parametrize("siemens", [0.1e-3, 0.2e-3, 1e-3])
def test_couplings_make_followers_later(kind: str, siemens: float) -> None:
    """.ac of a conveyor and of a buffer with a conductance at x: phase over frequency is τ + ℓL/(1 + r_x L)."""
    bench, state = _Bench(transistors(), kind, "batch"), support(kind)
    share = siemens / (1 + state.input_resistance * siemens)
    frequency, found = bench.response(1, 0, 0, siemens)
    low = int(np.searchsorted(frequency, 1e8))
    copied, followed = found["i(vw)"] - found["i(vz)"], bench.response(0, 0, 1, siemens)[1]["x2"]
    late = [-float(np.angle(one[low])) / (2 * np.pi * frequency[low]) for one in (copied, followed)]
    assert late[0] == pytest.approx(state.delay + state.input_inductance * share, rel=0.1)
    assert late[1] == pytest.approx(state.buffer_delay + state.buffer_inductance * share, rel=0.1)


def test_state_of_conveyors_and_buffers() -> None:
    """What docs/transistors.md prints, and what a second measurement of another kind says of it."""
    for kind, ohms, gain in (("A", 65, 0.973), ("AB", 123, 0.975)):
        found = support(kind)
        assert found.input_resistance == pytest.approx(ohms, rel=0.05)
        assert found.current_gain == pytest.approx(1, abs=0.02)
        assert found.buffer_gain == pytest.approx(gain, abs=5e-3)
        assert found.bandwidth > 1.5e9 and found.buffer_bandwidth > 2e9
        assert abs(found.offset) < 6e-3 and abs(found.left_current) < 1e-6
        assert found.noise_conductance > 4e-4  # far more than the 32 µS of a node: the sinks' and mirrors'


@pytest.mark.parametrize("kind", ["A", "AB"])
@pytest.mark.parametrize("volts", [0.1, 0.2, 0.3])
def test_supply_of_a_buffered_tile(kind: str, volts: float) -> None:
    """∫V·I of the supply against the meter with conveyors and buffers as measured: their bias, and what the even orders
    of pairs draw, which is 4 % at the nodes' rails."""
    devices, state = transistors(conveyor=kind, buffer=kind), support(kind)
    ohms = state.overrides()["conveyor.input_resistance"]
    circuit, inputs = small(input_resistance=ohms)
    inputs = {"u": inputs["u"] * volts / 0.1}
    circuit.nodes("w", (4,), rail=0.3, full_scale=0.2, input_resistance=ohms)
    circuit.couple("next", "v", "w", np.eye(4))
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices)
    waves = run_netlist(netlist.text, engine="batch")
    lines = 3 * 10e-6  # bias lines, one set for the whole machine
    drawn = devices.card.vdd * (np.trapezoid(-waves["i(vvdd)"], waves.time) - lines * (waves.time[-1] - waves.time[0]))
    meter = EnergyMeter(load_technology("cmos45", overrides=state.overrides()))
    transient(with_transistors(circuit, card()), inputs, duration=netlist.bench.duration, observers=[meter])
    parts = meter.report().by("part")
    ours = float(sum(parts[name][0][0] for name in ("conveyors", "buffers")))
    assert ours == pytest.approx(drawn, rel=0.02)


def test_what_has_no_transistors_says_so() -> None:
    circuit, inputs = small()
    with pytest.raises(Error, match="needs transistors"):
        write_netlist(circuit, inputs=inputs, level="device")
    with pytest.raises(Error, match="use level='device'"):
        write_netlist(circuit, inputs=inputs, transistors=transistors())
    with pytest.raises(Error, match="heat by part"):
        write_netlist(circuit, inputs=inputs, level="device", transistors=transistors(), energy=True)
    with pytest.raises(Error, match="buffer 'B' is unknown"):
        transistors(buffer="B")
    balanced, inputs = dense(coupling={"balanced": True})
    with pytest.raises(Error, match="no circuit of transistors"):
        write_netlist(balanced, inputs=inputs, level="device", transistors=transistors())


def test_initial_voltages_and_supply_are_there() -> None:
    circuit, inputs = small()
    netlist = write_netlist(
        circuit, inputs=inputs, initial={"v": [0.1, 0, 0, 0]}, level="device", transistors=transistors(), duration=1e-9
    )
    waves = run_netlist(netlist.text, engine="batch")
    assert waves["v.0"][0] == pytest.approx(0.1, abs=1e-3)
    found = analysed(netlist, ".op", ".save i(vvdd)", ".print op i(vvdd)")
    assert found["i(vvdd)"].real[0] == pytest.approx(-30e-6, rel=0.02)


def by_the_laws(select: str, feedback: str, tmp_path: Path, **spread: float) -> CrossCheck:
    """A part of a small model, all laws and poles of its transistors against the transistors, in time; of a chip."""
    model = load_model(str(write_small(tmp_path)))
    tokens = model.encode(PROMPT)
    cells = {name: measure_cell(name, transistors()) for name in ("tanh", "softmax", "transit", "feedback")}
    known, technology = replace(card(), cells=cells), load_technology("cmos45", overrides={"supply.swing": 0.3})
    machine = machine_of_transistors(
        map_model(model, len(tokens), technology=technology), known, feedback=feedback == "transistors"
    )
    devices = replace(transistors(feedback=feedback), card=known)
    return crosscheck(
        fabricate(machine, seed=1, **spread), select=select, inputs={"embed": model.embed(tokens)}, level="device",
        transistors=devices, engine="batch", options=LARGE, limit=5e-3, timeout=3600,
    )  # fmt: skip


@pytest.mark.parametrize("feedback", ["ideal", "transistors"])
def test_a_norm_by_the_laws_of_its_transistors(feedback: str, tmp_path: Path) -> None:
    """Root and division, whose feedback devices their control drives."""
    found = by_the_laws("h.0.ln_1", feedback, tmp_path)
    assert found.passed, found.by_array


def test_a_norm_of_a_chip(tmp_path: Path) -> None:
    """Untrimmed: products, couplings and feedback devices of unequal transistors, as near as those of the design."""
    found = by_the_laws("h.0.ln_1", "transistors", tmp_path, threshold_area=3.5e-9, beta_area=1.5e-8)
    assert found.passed, found.by_array


@pytest.mark.slow
@pytest.mark.parametrize("feedback", ["ideal", "transistors"])
def test_a_small_model_by_the_laws_of_its_transistors(feedback: str, tmp_path: Path) -> None:
    """A whole block: laws at rest, the mirrors' lag, tails, channels' transit; common mode that stays where it is."""
    found = by_the_laws("h.0", feedback, tmp_path)
    assert found.passed, found.by_array


@pytest.mark.parametrize("select", ["h.0.ln_1", pytest.param("h.0.attn", marks=pytest.mark.slow)])
def test_parts_of_a_small_model(select: str, tmp_path: Path) -> None:
    """A norm, with its root and division, and attention, all of transistors but for what feeds back."""
    model = load_model(str(write_small(tmp_path)))
    tokens = model.encode(PROMPT)
    technology = load_technology("cmos45", overrides={"supply.swing": 0.3})
    circuit = map_model(model, len(tokens), technology=technology, device_card=card())
    found = crosscheck(
        circuit, select=select, inputs={"embed": model.embed(tokens)}, level="device",
        transistors=transistors(feedback="ideal"), engine="batch", limit=0.05,
    )  # fmt: skip
    assert found.passed, found.by_array
