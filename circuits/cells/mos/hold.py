"""Hold capacitor in transistors: a capacitor behind a switch, an n-channel coupling device whose gate is at `off`.

While the switch is open its leakage takes the capacitor towards the line at V_CM; off < 0 V (under-drive) is the
`low-leakage` switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sheet import DeviceSheet


def hold(sheet: DeviceSheet, farads: float, width: float, length: float) -> str:
    """Name of the subcircuit with ports (line, held, gate); sizes of the switch in metres."""
    device = {"1": ("line gate held", "n", width * 1e6, length * 1e6)}
    note = "hold capacitor and its switch"
    sheet.need(sheet.transistors.subcircuit("hold line held gate", note, device, f"C1 held 0 {farads:.6g}"))
    return "hold"
