"""Elements begin so short that what they garble of a quiet array does not come out amplified."""

from __future__ import annotations

import numpy as np
import pytest
from systems.amplified import amplified
from systems.system import FULL_SCALE

import dsmachine as ds
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.observers import Probe


@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
@pytest.mark.parametrize("block", [1, 4])
def test_quiet_array_before_an_amplifier(tolerance: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Global error against local tolerance, in a GPU's rows and windows too, where it was 2e-3 at both tolerances with
    first elements of 32 τ."""
    monkeypatch.setattr(Backend, "block", lambda self, values: block)
    monkeypatch.setattr(Backend, "longer", Backend("cupy").longer)
    system = amplified()
    times, exact = system.sampled()
    probe = Probe(list(exact), times=times)
    ds.transient(
        system.circuit, system.inputs, tolerance=tolerance, duration=system.duration, settle_bits=0, observers=[probe]
    )
    for name, values in exact.items():
        assert np.sqrt(((probe.volts(name)[:, 0] - values) ** 2).mean()) < 2 * tolerance * FULL_SCALE
