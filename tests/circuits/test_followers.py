"""Conveyors and buffers of a technology in a circuit: gains and delays by hand."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from device_cards import BETA, square_feedback, square_pair
from scipy.signal import lti

import dsmachine as ds
from dsmachine.circuits.cells import machine_of_transistors, with_transistors
from dsmachine.circuits.cells.channel import Channel, Channels
from dsmachine.circuits.cells.conveyor_loop import ConveyorLoop
from dsmachine.circuits.cells.mirror import MirrorNode
from dsmachine.circuits.cells.mos.node import HOLD, constant_gate
from dsmachine.circuits.cells.mos.support import Support
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.followers import with_common_mode, with_followers
from dsmachine.circuits.technology import load_technology

C, B = 0.9, 0.8  # gains of conveyors' copies and of buffers


def chain() -> Circuit:
    circuit = Circuit("chain")
    circuit.clamp("u", (1,))
    for name in ("v", "w", "p"):
        circuit.nodes(name, (1,))
    circuit.couple("first", "u", "v", [[1.0]])
    circuit.couple("second", "v", "w", 1.0)
    circuit.multiply("product", "v", "w", "p", "i,i->i", gain=2.0)
    return circuit


def test_gains_along_a_chain() -> None:
    """v = c u (inputs have ideal drivers), w = c b v, p = c κ v (b w): gates draw no current."""
    technology = load_technology(overrides={"conveyor.current_gain": C, "buffer.gain": B})
    found = ds.operating_point(with_followers(chain(), technology, input_resistance=0.0), {"u": [0.1]}).outputs
    v, w = C * 0.1, C * B * C * 0.1
    assert [float(found[name][0, 0]) for name in "vwp"] == pytest.approx([v, w, C * 2 * v * B * w], rel=1e-6)


def test_buffers_give_way() -> None:
    """w sees b/(1 + r_b L) of v, L of the one coupling at its buffer; a product's gates are no load, its quad is."""
    ohms = 5e3
    technology = load_technology(overrides={"buffer.gain": B, "buffer.output_resistance": ohms})
    circuit = chain()
    found = ds.operating_point(with_followers(circuit, technology, input_resistance=0.0), {"u": [0.1]}).outputs
    load = circuit.arrays["v"].conductance
    assert found["w"][0, 0] == pytest.approx(B / (1 + ohms * load) * 0.1, rel=1e-6)


def test_a_crossbar_of_transistors_behind_buffers() -> None:
    """w = c I(V, b v)/g, of a chip too: gates are written as if buffers were ideal."""
    circuit = Circuit("crossbar")
    circuit.clamp("u", (1,))
    for name in ("v", "w"):
        circuit.nodes(name, (1,))
    circuit.couple("first", "u", "v", [[1.0]])
    circuit.couple("second", "v", "w", [[1.0]], device_card=square_pair())
    technology = load_technology(overrides={"conveyor.current_gain": C, "buffer.gain": B})
    real = with_followers(circuit, technology, input_resistance=0.0)
    bare = ds.operating_point(circuit, {"u": [B * C * 0.2]}).outputs["w"]
    assert ds.operating_point(real, {"u": [0.2]}).outputs["w"] == pytest.approx(C * bare, rel=1e-9)
    chip = ds.fabricate(real, threshold_area=1e-15, beta_area=1e-15)
    assert ds.operating_point(chip, {"u": [0.2]}).outputs["w"] == pytest.approx(C * bare, rel=1e-4)


def leaving(common_current: float, buffer_offset: float) -> Support:
    """A class of conveyors and buffers that leaves the sides somewhere, and does nothing else."""
    nothing: Any = dict.fromkeys((f.name for f in fields(Support)), 0.0)
    return Support(**nothing | {"common_current": common_current, "buffer_offset": buffer_offset})


def test_sides_above_the_common_mode_lower_gates() -> None:
    """In the square law, pairs β(V − V_t)v: of conductance G they lose χ c β m, with c = i/2h of the node, and the
    buffers' offset; and so does its own feedback device, with c alone. χ is 1.2, h 0.3 g."""
    circuit = Circuit("raised")
    circuit.clamp("u", (1,))
    for name in ("v", "w", "y"):
        circuit.nodes(name, (1,), full_scale=0.2)
    circuit.couple("first", "u", "v", [[1.0]])
    circuit.couple("second", "v", "w", [[1.0]])
    circuit.couple("third", "v", "y", -1.0)
    card = replace(square_pair(), cells={"feedback": square_feedback()})
    machine = machine_of_transistors(circuit, card)
    g, bend = circuit.arrays["v"].conductance, machine.terms["v.feedback"]
    c, offset = 5e-3, -2e-3
    state = leaving(c * 2 * HOLD * g, offset)
    raised = with_common_mode(machine, state)
    m, _ = constant_gate(card, np.array((1 - HOLD) * g))
    own = g - 1.2 * c * 2 * BETA * m
    for name, c_o in (("first", 0.0), ("second", c + offset)):
        found = raised.terms[name].siemens(raised)[0, 0]
        assert found == pytest.approx(g - 1.2 * c_o * BETA * raised.terms[name].fingers, rel=1e-6)
    rest = ds.operating_point(raised, {"u": [0.1]}).outputs
    lost = 1.2 * (c + offset) * BETA / g
    v = 0.1 * g / own
    assert rest["v"][0, 0] == pytest.approx(v, rel=1e-5)
    assert rest["w"][0, 0] == pytest.approx(v * (1 - lost) * g / own, rel=1e-5)
    assert rest["y"][0, 0] == pytest.approx(-v * (1 - lost) * g / own, rel=1e-5)
    assert bend.raised(machine, 0.0).laws == bend.laws


def test_write_verify_measures_where_the_sides_stand() -> None:
    """Trimmed units conduct what was wanted with their drivers' sides off V_CM, crossbars on a chip made before or
    after these are known; of untrimmed ones χ · 6 mV of gate are missing."""
    circuit = Circuit("raised")
    circuit.clamp("u", (4,))
    circuit.nodes("v", (4,), full_scale=0.2)
    circuit.nodes("w", (4,), full_scale=0.2)
    circuit.nodes("y", (4,), full_scale=0.2)
    circuit.couple("first", "u", "v", np.eye(4))
    circuit.couple("second", "v", "w", np.full((4, 4), 0.25))
    circuit.couple("third", "v", "y", 0.5)
    card = replace(square_pair(), cells={"feedback": square_feedback()})
    machine, state = machine_of_transistors(circuit, card), leaving(0.0, 6e-3)

    def chip(of: Circuit, **trim: Any) -> Circuit:
        return ds.fabricate(of, seed=3, threshold_area=3.5e-9, beta_area=1.5e-8, **trim).circuit

    trim = {"trim": {"write-verify": 0.0}}
    wanted = machine.terms["second"].siemens(machine)
    for made in (chip(with_common_mode(machine, state), **trim), with_common_mode(chip(machine, **trim), state)):
        assert made.terms["second"].siemens(made) == pytest.approx(wanted, rel=1e-9)
    raised, line = chip(with_common_mode(machine, state), **trim), machine.terms["third"]
    at_v_cm = chip(machine, **trim).terms["third"]
    assert raised.terms["third"].powers[0] == pytest.approx(at_v_cm.powers[0], rel=1e-9)
    lost = 1.2 * 6e-3 * BETA * line.fingers / (0.5 * circuit.arrays["y"].conductance)
    late = with_common_mode(machine, state).terms["third"].powers[0]
    assert late == pytest.approx(line.powers[0] * (1 - lost), rel=1e-6)


def test_what_is_no_support_channels_or_technology() -> None:
    chained, junk = chain(), [3, None, "AB"]
    for given in junk:
        with pytest.raises(ds.Error, match=f"support is {given!r}: give transistors_of"):
            with_common_mode(chained, given)  # type: ignore[arg-type]
        with pytest.raises(ds.Error, match=f"errors is {given!r}: give what measure_conveyor_errors"):
            ds.with_unequal_conveyors(chained, given)  # type: ignore[arg-type]
    with pytest.raises(ds.Error, match="channels is 3: give what measure_channels returns, or None"):
        ds.with_channels(chained, 3)  # type: ignore[arg-type]
    with pytest.raises(ds.Error, match="technology is 3: give a name such as 'cmos45'"):
        with_followers(chained, 3)  # type: ignore[arg-type]
    named = with_followers(chained, "cmos45")
    assert named.arrays == with_followers(chained, load_technology()).arrays


def test_input_resistance_and_noise_are_the_technologys() -> None:
    values = {"conveyor.input_resistance": 400.0, "conveyor.noise_conductance": 1e-4, "conveyor.noise_resistance": 3e3}
    node = with_followers(chain(), load_technology(overrides=values)).arrays["w"]
    assert (node.input_resistance, node.noise_siemens, node.noise_ohms) == (400.0, 1e-4, 3e3)
    assert with_followers(chain(), load_technology()).arrays["u"].input_resistance == 0


def test_ideal_followers_change_nothing() -> None:
    ideal = with_followers(chain(), load_technology(), input_resistance=0.0)
    for name, term in chain().terms.items():
        same = ideal.terms[name]
        assert all(np.array_equal(getattr(term, key), getattr(same, key)) for key in ("name", "target"))
    assert ideal.arrays == chain().arrays
    rest, known = (ds.operating_point(circuit, {"u": [0.1]}) for circuit in (ideal, chain()))
    for name in known.outputs:
        np.testing.assert_array_equal(rest.outputs[name], known.outputs[name])


LATE = {"conveyor.delay": 2e-10, "conveyor.inductance": 5e-6, "buffer.delay": 1e-10, "buffer.inductance": 3e-6}


def test_delays_by_hand() -> None:
    """A conveyor τ_c + ℓ L/(1 + r_x L) and, of what draws current, a buffer τ_b + ℓ_b L; inputs stand still."""
    circuit, ohms = chain(), 400.0
    technology = load_technology(overrides=LATE | {"conveyor.input_resistance": ohms})
    found = with_followers(circuit, technology)
    load = circuit.arrays["v"].conductance  # of the one unit coupling at w
    carried = 2e-10 + 5e-6 * load / (1 + ohms * load)
    late = {node.name: node.time_constant for node in found.arrays.values() if node.is_inner}
    assert late == pytest.approx({
        "second.transit": carried + 1e-10 + 3e-6 * load,
        "product.transit": 2e-10 + 1e-10,
        "product.transit.a": 2e-10,
    })  # fmt: skip
    assert found.terms["first"].sources[0].array == "u"


def test_a_chain_in_time() -> None:
    """v and w with τ, a lag τ_d between them: the step response of 1/(1 + sτ)² (1 + sτ_d)."""
    technology = load_technology(overrides={"conveyor.delay": 3e-10, "buffer.delay": 1e-10})
    circuit = with_followers(chain(), technology, input_resistance=0.0)
    node = circuit.arrays["w"]
    times = np.linspace(0, 1e-8, 41)
    probe = ds.Probe(["w"], times=times)
    ds.transient(circuit, {"u": [0.1]}, duration=1e-8, settle_bits=0, tolerance=1e-7, observers=[probe])
    tau = node.time_constant
    known = lti([1], np.polymul(np.polymul([tau, 1], [tau, 1]), [4e-10, 1])).step(T=times)[1]
    assert probe.volts("w")[:, 0, 0] == pytest.approx(0.1 * known, abs=1e-6)


def test_mirrors_are_later() -> None:
    """A lag of the current has the conveyor's delay in its part that does not depend on it."""
    mirror = MirrorNode("m", (2,), conductance=5e-6, capacitance=np.array([3e-10, 5e-10]) * 5e-6, weak=0.5)
    later = mirror.later(2e-10)
    assert later.time_constants == pytest.approx([5e-10, 7e-10])
    assert later.weak * later.time_constants.mean() == pytest.approx(0.5 * mirror.time_constants.mean())


def test_poles_of_conveyors_come_last() -> None:
    """A loop is of a conveyor's r_x and of what hangs on it: put in too early it would be another conveyor's."""
    technology = load_technology(overrides={"conveyor.input_resistance": 500.0})
    looped = Channels(*[Channel(1.0, 1e-6)] * 5, tail=1.0, difference=0.0, standing=0.0, loop=ConveyorLoop(1e-10))
    behind = ds.with_channels(with_followers(chain(), technology), looped)
    assert behind.arrays["w"].loop == looped.loop
    with pytest.raises(ds.Error, match=r"poles of r_x = 500 Ω .*: call with_followers first, then with_channels"):
        with_followers(behind, technology, input_resistance=0.0)
    with pytest.raises(ds.Error, match="call with_transistors first"):
        with_transistors(behind, square_pair())
    with pytest.raises(ds.Error, match="call machine_of_transistors first"):
        machine_of_transistors(behind, square_pair())
    again = with_followers(ds.with_channels(behind, None), technology, input_resistance=0.0)
    assert again.arrays["w"].input_resistance == 0.0
