"""The account of a step of learning: laws of its parts, and the sum of what both machines take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells.ecl import charge_of_step
from dsmachine.emulator.prepare import prepare
from dsmachine.energy.report import EnergyReport
from dsmachine.energy.training_step import Anneals, Settled, anneal_both, step_report
from dsmachine.energy.weight_update import PART, Update, by_capacitors, by_converters

TECHNOLOGY = ds.load_technology("cmos45")
NO_UPDATE = Update(0.0)


@pytest.fixture(scope="module")
def made() -> Anneals:
    """The bundled model on eight characters, a loss at the last three."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, 8)
    tokens = np.array(model.tokenize("But, soft")[:8])
    targets = ds.next_token_targets(tokens, model.config.vocabulary)
    for value in targets.values():
        value[:, :4] = 0
    plan = prepare(circuit, precision="float64")
    inputs = {"embed": model.embed(tokens[None])}
    return anneal_both(plan, inputs, ds.gradients(plan, inputs, targets), TECHNOLOGY)


def drawn(report: EnergyReport, **wanted: str) -> float:
    chosen = [e for e in report.entries if all(getattr(e, name) == value for name, value in wanted.items())]
    return float(sum(np.mean(e.drawn) for e in chosen))


def test_a_step_draws_what_both_machines_and_the_held_one_draw(made: Anneals) -> None:
    settled = made.settled
    assert settled is not None and (made.counting, made.positions) == (3, 8)
    report = step_report(made, settled, NO_UPDATE)
    ahead = made.ahead.report(until=settled.forward)
    long = made.ahead.report(until=settled.forward + settled.backward)
    back = made.behind.report(until=settled.backward)
    for part in ("coupling", "conveyors", "buffers", "tanh", "product"):
        own = drawn(ahead, part=part, phase="anneal")
        assert drawn(report, part=part, phase="anneal") == pytest.approx(own, rel=1e-12)
        both = drawn(long, part=part, phase="anneal") - own + drawn(back, part=part, phase="anneal")
        assert drawn(report, part=part, phase="backward") == pytest.approx(both, rel=1e-9)
    assert list(report.phases) == ["reset", "load", "anneal", "backward", "update"]
    assert report.latency == pytest.approx(sum(report.phases.values()))
    watts = drawn(ahead, part="refresh") / ahead.latency
    assert drawn(report, part="refresh") == pytest.approx(watts * report.latency, rel=1e-9)
    assert drawn(back, part="refresh") == 0  # the backward machine has no weights of its own


def test_targets_of_positions_without_a_loss_are_not_loaded(made: Anneals) -> None:
    settled = made.settled
    assert settled is not None
    report, ahead = step_report(made, settled, NO_UPDATE), made.ahead.report(until=settled.forward)
    vocabulary = made.forward.circuit.arrays["logits"].shape[-1]
    converter = TECHNOLOGY.converter
    more = drawn(report, part="converters") - drawn(ahead, part="converters", phase="load")
    assert more == pytest.approx(3 * (vocabulary + 1) * converter.dac_energy)
    turns = -(-3 * (vocabulary + 1) // int(converter.dac_count))
    assert report.phases["load"] - ahead.phases["load"] == pytest.approx(turns * converter.dac_time)


def test_machines_stay_driven_while_capacitors_move_and_not_for_converters(made: Anneals) -> None:
    settled = made.settled
    assert settled is not None
    circuit = made.forward.circuit
    moved = by_capacitors(circuit, made.back, TECHNOLOGY, rate=0.01, batch=8)
    report = step_report(made, settled, moved)
    longer = step_report(made, Settled(settled.forward, settled.backward + moved.seconds), NO_UPDATE)
    power = drawn(longer, part="coupling", phase="backward")
    assert drawn(report, part="coupling", phase="backward") < power
    both = sum(drawn(report, part="coupling", phase=phase) for phase in ("backward", "update"))
    assert both == pytest.approx(power, rel=1e-9)
    assert drawn(report, part=PART) == pytest.approx(sum(moved.joules.values()))
    digital = step_report(made, settled, by_converters(circuit, TECHNOLOGY, batch=8))
    assert drawn(digital, part="coupling", phase="update") == 0
    assert drawn(digital, part="refresh", phase="update") > 0


def test_the_charge_of_a_step_is_the_multipliers_current_for_its_time() -> None:
    """Against the cell's own law on a layer that trains itself."""
    rng = np.random.default_rng(0)
    circuit = ds.Circuit("layer", output="y")
    circuit.clamp("x", (2, 4), full_scale=0.2)
    circuit.nodes("y", (2, 3), full_scale=0.3)
    circuit.couple("w", "x", "y", rng.uniform(-1, 1, (3, 4)))
    layer = ds.ecl_layer(circuit, "w", time_constant=1e-6)
    seconds = 50e-9
    multiplier: Any = layer.circuit.terms["w.ecl"]
    amperes = multiplier.full_current(layer.circuit)
    loss, source = (layer.circuit.full_scale(name) for name in (layer.loss, "x"))
    volts = layer.circuit.arrays[layer.control].unit * layer.rate(seconds)
    found = charge_of_step(loss, source, float(volts), TECHNOLOGY.switch.hold_capacitance)
    assert found == pytest.approx(float(amperes.sum()) * seconds, rel=1e-9)


def test_an_update_by_capacitors_follows_its_rate_and_counts_each_weight_and_position(made: Anneals) -> None:
    circuit = made.forward.circuit
    once, twice = (by_capacitors(circuit, made.back, TECHNOLOGY, rate=rate, batch=8) for rate in (0.01, 0.02))
    for layer, joules in once.joules.items():
        assert twice.joules[layer] == pytest.approx(2 * joules)
    assert set(once.joules) >= {"h.0", "head"}
    assert once.seconds == TECHNOLOGY.controller.step and once.driven


def test_an_update_by_capacitors_in_closed_form() -> None:
    """E = VDD C_J · swing/(2 max|w|) · η/B · P · out · in · a_fs x_fs, full scales in logical units and all alike."""
    circuit = ds.Circuit("layer", output="y")
    circuit.clamp("x", (5, 4), unit=0.5, full_scale=0.2)
    circuit.nodes("y", (5, 3), unit=0.25, full_scale=0.3)
    circuit.couple("w", "x", "y", np.array([[0.5, -0.8, 0.1, 0.0], [0.2, 0.3, 0.4, -0.1], [0.7, 0.6, -0.5, 0.2]]))
    circuit.bias("b", "y", 0.1)
    back = ds.adjoint(circuit, loss="given")
    (part,) = back.parts["y"]
    node = back.arrays[part.name]
    back.arrays[part.name] = replace(node, unit=2.0, full_scale=0.1)
    found = by_capacitors(circuit, back, TECHNOLOGY, rate=0.03, batch=6)
    volts = TECHNOLOGY.supply.swing / (2 * 0.8)
    held = TECHNOLOGY.supply.vdd * TECHNOLOGY.switch.hold_capacitance
    known = held * volts * 0.03 / 6 * 5 * 3 * 4 * (0.1 / 2.0) * (0.2 / 0.5)
    assert found.joules == pytest.approx({circuit.arrays["y"].layer: known}, rel=1e-12)


def test_an_update_by_converters_reads_each_weight_once_and_writes_each_copy(made: Anneals) -> None:
    circuit, batch = made.forward.circuit, 4
    found = by_converters(circuit, TECHNOLOGY, batch=batch)
    held = sum(term.weights(circuit) for term in circuit.terms.values())
    distinct = held // 8
    tech = TECHNOLOGY
    joules = distinct * tech.converter.adc_energy + held * tech.switch.refresh_energy
    assert sum(found.joules.values()) * batch == pytest.approx(joules)
    assert found.seconds * batch == pytest.approx(
        np.ceil(distinct / 64) * tech.converter.adc_time + np.ceil(held / 64) * tech.converter.dac_time
    )
