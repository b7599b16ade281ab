"""Rows and columns of a machine against RC ladders in ngspice: delays within 2 %."""

import shutil

import numpy as np
import pytest

from dsmachine.circuits.technology import load_technology
from dsmachine.circuits.wires import Line, column, row
from dsmachine.netlists.ngspice import run_netlist

pytestmark = [
    pytest.mark.spice,
    pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice"),
]
SECTIONS = 100
SHARES = (0.5, 0.6321, 0.9, 1 - 2.0**-8)


def ladder(line: Line, step: str, driver: str, saved: str) -> str:
    """The line in π sections from node 0 to 100. step: what drives it; driver: its near end."""
    r, c = line.resistance / SECTIONS, line.capacitance / SECTIONS
    half = (0, SECTIONS)
    lines = [f"R{k} n{k} n{k + 1} {r:.9g}" for k in range(SECTIONS)]
    lines += [f"C{k} n{k} 0 {c / 2 if k in half else c:.9g}" for k in range(SECTIONS + 1)]
    lines += [f"Cload n{SECTIONS} 0 {line.load:.9g}"] if line.load else []
    end, tick = 12 * line.elmore, line.elmore / 400
    ends = [f".tran {tick:.9g} {end:.9g} 0 {tick:.9g} uic", f".save {saved}", f".print tran {saved}", ".end", ""]
    options = ".options reltol=1e-6 abstol=1e-15 vntol=1e-9 chgtol=1e-22 trtol=1"
    return "\n".join(["RC ladder", step, driver, *lines, options, *ends])


def delays(times: np.ndarray, wave: np.ndarray) -> list[float]:
    return [float(np.interp(share, wave, times)) for share in SHARES]


@pytest.mark.parametrize("units", [64, 576, 1024])
@pytest.mark.parametrize("load", [0.0, 20e-15])
def test_rows_are_as_late_as_their_ladder(units: int, load: float) -> None:
    """A buffer's step into a tile; with ideal driver half of it takes 0.38 RC."""
    tech = load_technology()
    whole = row(tech, units)
    for line in (
        Line(whole.resistance, whole.capacitance, whole.driver, load),
        Line(whole.resistance, whole.capacitance),
    ):
        driver = f"Rd u n0 {line.driver}" if line.driver else "Vd u n0 0"
        found = run_netlist(ladder(line, "Vu u 0 1", driver, f"v(n{SECTIONS})"), engine="batch")
        want = delays(found.time, found[f"n{SECTIONS}"])
        assert [line.delay(share) for share in SHARES] == pytest.approx(want, rel=0.02)


@pytest.mark.parametrize("units", [576, 4096])
def test_columns_deliver_as_late_as_their_ladder(units: int) -> None:
    """A current pushed in at the far end, and what arrives at the conveyor's input resistance."""
    line = column(load_technology(), units)
    found = run_netlist(
        ladder(line, f"Iu 0 n{SECTIONS} 1u", f"Rx n0 x {line.driver}\nVx x 0 0", "i(vx)"), engine="batch"
    )
    want = delays(found.time, found["i(vx)"] / 1e-6)
    assert [line.delay(share) for share in SHARES] == pytest.approx(want, rel=0.02)
