"""Loops of conveyors from spectra: those of a known one."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells.conveyor_loop import ConveyorLoop, left
from dsmachine.circuits.cells.rational import at
from dsmachine.netlists.conveyor_loops import Measured, fit_loop

OHMS, G_N, SLOPE, R = 120.0, 7e-4, 8e-3, 1.1e4
A = ConveyorLoop(regulation=2.2e-9, own=0.03, mirror=6e-11, cascode=7e-11, input=3.5e-12, mirrored=0.4)
AB = replace(A, push=0.07, pushing=3e-10, pushed=0.012)


def spectra(loop: ConveyorLoop) -> Measured:
    """What a simulator would say of it."""
    hertz = np.geomspace(1e6, 1e11, 101)
    s = 2j * np.pi * hertz

    def of(load: float) -> dict[str, np.ndarray]:
        paths = loop.transfers(OHMS * load) | {"mirrors": loop.mirrors}
        return {name: at(above, s) / at(below, s) for name, (above, below) in paths.items()}

    def density(load: float) -> np.ndarray:
        size = {name: np.abs(each) ** 2 for name, each in of(load).items()}
        amplifiers = (1 - loop.pushed) * size["amplifier"] + loop.pushed * size["sinks"]
        return G_N * (1 - loop.mirrored + loop.mirrored * size["mirrors"]) + R * SLOPE**2 * amplifiers

    bare = of(0.0)
    densities = {load: density(load) for load in (0.0, 5e-4)}
    return Measured(OHMS, hertz, 0.98 * bare["signal"], OHMS * bare["impedance"], hertz, densities)


@pytest.mark.parametrize("loop", [A, AB])
def test_a_known_loop_is_found(loop: ConveyorLoop) -> None:
    """Not each number, where two do the same, but the noise of nodes at other loads, wires and time constants."""
    found = fit_loop(spectra(loop), driven=loop.push > 0)
    assert found.error < 1e-3
    for load in (0.0, 2e-4, 1e-3):
        for farads in (0.0, 5e-14):
            for tau in (1.5e-9, 1e-8):
                one, other = (
                    each.wired(OHMS, farads).siemens(G_N, R, SLOPE, OHMS * load, partial(left, seconds=tau))
                    for each in (found, loop)
                )
                assert one == pytest.approx(other, rel=2e-3)


def test_no_conveyor_at_all() -> None:
    dead = replace(spectra(A), voltage=np.full(101, np.nan))
    with pytest.raises(ds.Error, match=r"does not work.*check the model cards"):
        fit_loop(dead, driven=False)
