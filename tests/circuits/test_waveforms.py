"""Waveforms name their corners and say what holds at and beyond them."""

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import PiecewiseLinear, Steps
from dsmachine.emulator.run import operating_point, transient

TIMES = np.array([0.0, 1e-9, 3e-9])


def test_straight_lines_held_beyond_the_ends() -> None:
    wave = PiecewiseLinear(TIMES, np.array([[0.0], [1.0], [-1.0]]))
    found = wave.at(np.array([-1e-9, 0.5e-9, 1e-9, 2e-9, 9e-9, np.inf]))[:, 0]
    assert found == pytest.approx([0, 0.5, 1, 0, -1, -1])
    assert (wave.breakpoints == TIMES).all()


def test_steps_hold_the_value_after_a_jump() -> None:
    wave = Steps(TIMES, np.array([[0.0], [1.0], [-1.0]]))
    assert wave.at(np.array([0, 0.99e-9, 1e-9, 2.9e-9, 3e-9]))[:, 0] == pytest.approx([0, 0, 1, 1, -1])


@pytest.mark.parametrize("wave", [Steps, PiecewiseLinear])
def test_a_batch_of_waveforms(wave: type[Steps] | type[PiecewiseLinear]) -> None:
    circuit = Circuit("rc")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.couple("w", "u", "v", 1.0)
    ends = np.array([[0.1, 0.2], [0.3, -0.1], [0.0, 0.25]])
    drive = wave(np.array([0.0, 2e-9]), np.stack([0 * ends, ends]))
    assert operating_point(circuit, {"u": drive}).outputs["v"] == pytest.approx(ends)
    run = transient(circuit, {"u": drive}, settle_bits=12)
    assert run.outputs["v"] == pytest.approx(ends, abs=2e-4)
    assert run.settling_time is not None and run.settling_time.min() > 2e-9


def test_a_waveform_of_another_shape_is_named() -> None:
    circuit = Circuit("rc")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.couple("w", "u", "v", 1.0)
    with pytest.raises(ds.Error, match="'u'"):
        transient(circuit, {"u": Steps(np.array([0.0]), np.zeros((1, 3)))})
