"""Rectifier in transistors: a coupling device, a conveyor, and a diode-connected mirror that passes one sign.

    I = 2 · max(2G · v/2 · ½, 0)

One device of conductance 2G takes v/2 from a side into a conveyor of its own; half of its current, w's copy, enters a
diode-connected n-channel device, of which two copies of ratio 2 leave, straight (from xn) and turned (into xp).
A current of the other sign is taken by a clamp, and the diode cuts off. Near 0 it is slow: its pole is C nV_T / I.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..spice import elements
from . import follower
from .coupling import fingers
from .rails import INPUTS

if TYPE_CHECKING:
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


def mirror(sheet: DeviceSheet, name: str) -> str:
    """The diode d, its clamp, and the copies that leave by p and n."""
    return sheet.transistors.subcircuit(f"{name} d p n", "diode with its clamp, mirrors", MIRROR)


def rectifiers(sheet: DeviceSheet, term: Rectifier) -> list[str]:
    """Device, conveyor and mirrors of each node; a negative gain is a crossed output."""
    here, node, pair = sheet.present(term.target), sheet.nodes(term.source), sheet.transistors.pair_card
    gain = np.broadcast_to(np.asarray(term.gain, float), here.shape)
    g = np.where(here, np.abs(gain) * sheet.amperes(term.target) / sheet.units(term.source), 0.0)
    m = fingers(pair, float(g.max()))
    lines, gate = sheet.gates(pair.control(np.where(g > 0, g, g.max()) / m))
    conveyor = follower.conveyor(sheet)
    size = (pair.width * 1e6, pair.length * 1e6, f" m={m}")
    devices = {"1": ("a g x", "n", *size)} | MIRROR
    name = f"rectifier_{m}"
    note = "I = max(2 G u_a, 0), u_a from the common mode: device, conveyor, diode with its clamp, mirrors"
    sheet.need(sheet.transistors.subcircuit(f"{name} a g p n", note, devices, f"X1 vcm x vcm d {conveyor}"))
    driver, _ = sheet.sides(node)
    ports = sheet.names[term.target]
    p, n = (np.where(gain > 0, ports + one, ports + other) for one, other in (INPUTS, INPUTS[::-1]))
    return lines + elements(sheet.prefix("X"), f"%s %s %s %s {name}", here & (g > 0), driver, gate, p, n)
