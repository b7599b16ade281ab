"""Rectifier in transistors: a coupling device, a conveyor, and a diode-connected mirror that passes one sign.

    I = 2 · max(2G · v/2 · ½, 0)

One device of conductance 2G takes v/2 from a side into a conveyor of its own; half of its current, w's copy, enters a
diode-connected n-channel device, of which two copies of ratio 2 leave, straight (from xn) and turned (into xp).
A current of the other sign is taken by a clamp, and the diode cuts off. Near 0 it is slow: its pole is C nV_T / I.

Unequal thresholds (`copies.py`): `N` and `P` are slope factor and I_s of copies of these sizes, within 0.5 % of what
10 mV change up to 12 µA (ngspice, bundled cards, 27 °C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..copies import Copies, mirror_of
from ..spice import elements
from . import follower
from .coupling import fingers
from .rails import INPUTS
from .unequal import Gates, Size, Unequal, defaults, erring, square_metres

if TYPE_CHECKING:
    from ...devices.card import DeviceCard
    from ..rectifier import Rectifier
    from .sheet import DeviceSheet

COPIES = 4  # of the current into the diode, over both outputs
MIRROR = {
    "d": ("d d 0", "n", 2.0, 0.15),
    "c": ("vdd bc d", "n", 2.0, 0.1),
    "n": ("n d 0", "n", 4.0, 0.15),
    "u": ("u d 0", "n", 4.0, 0.15),
    "v": ("u u vdd", "p", 4.0, 0.15),
    "p": ("p u vdd", "p", 4.0, 0.15),
}
ERRING = ("d", "n", "u", "v", "p")  # all but the clamp
N, P = (1.207, 19.8e-6), (1.224, 7.87e-6)  # slope factor, I_s [A] of a copy
STRAIGHT = 0.473  # share of what leaves straight: its copy stands at V_CM, where it carries less than the one turned


def mirror(sheet: DeviceSheet, name: str) -> str:
    """The diode d, its clamp, and the copies that leave by p and n."""
    return sheet.transistors.subcircuit(f"{name} d p n", "diode with its clamp, mirrors", MIRROR)


def rectifier_gates(pair: DeviceCard, m: int, shape: tuple[int, ...]) -> Gates:
    """Transistors of rectifiers whose device has m fingers."""
    areas = {key: square_metres(*MIRROR[key][2:]) for key in ERRING}
    return Gates({"1": pair.width * pair.length * m, **areas}, shape)


def copies_of(errors: Unequal, largest: float, thermal_voltage: float) -> Copies:
    """What mirrors of these transistors make of the diode's current, both as shares of `largest` [A], so C(t) is a
    quarter of what leaves."""
    n, p = (kind[1] / (2 * largest) for kind in (N, P))
    return Copies(
        mirror_of(errors, "d", "n", N[0], n, thermal_voltage),
        mirror_of(errors, "d", "u", N[0], n, thermal_voltage),
        mirror_of(errors, "v", "p", P[0], p, thermal_voltage),
        STRAIGHT,
    )


def rectifiers(sheet: DeviceSheet, term: Rectifier, errors: Unequal | None = None) -> list[str]:
    """Device, conveyor and mirrors of each node, with their errors; a negative gain is a crossed output."""
    here, node, pair = sheet.present(term.target), sheet.nodes(term.source), sheet.transistors.pair_card
    gain = np.broadcast_to(np.asarray(term.gain, float), here.shape)
    g = np.where(here, np.abs(gain) * sheet.amperes(term.target) / sheet.units(term.source), 0.0)
    m = fingers(pair, float(g.max()))
    lines, gate = sheet.gates(pair.control(np.where(g > 0, g, g.max()) / m))
    conveyor = follower.conveyor(sheet)
    size = (pair.width * 1e6, pair.length * 1e6, f" m={m}")
    devices: dict[str, Size] = {"1": ("a g x", "n", *size), **MIRROR}
    name, head = f"rectifier_{m}", f"rectifier_{m} a g p n"
    sources: list[str] = []
    if errors is not None:
        devices, sources = erring(devices, errors.shift)
        name = f"rectifier_erring_{m}"
        head = f"{name} a g p n{defaults(errors.shift)}"
    note = "I = max(2 G u_a, 0), u_a from the common mode: device, conveyor, diode with its clamp, mirrors"
    sheet.need(sheet.transistors.subcircuit(head, note, devices, *sources, f"X1 vcm x vcm d {conveyor}"))
    driver, _ = sheet.sides(node)
    ports = sheet.names[term.target]
    p, n = (np.where(gain > 0, ports + one, ports + other) for one, other in (INPUTS, INPUTS[::-1]))
    words, own = ("", []) if errors is None else errors.words(here.shape)
    return lines + elements(sheet.prefix("X"), f"%s %s %s %s {name}{words}", here & (g > 0), driver, gate, p, n, *own)
