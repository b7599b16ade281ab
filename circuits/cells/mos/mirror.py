"""Output mirrors: a branch's current, r times, as +r/2 into a conveyor and −r/2 out of the other.

p-channel diode, two copies, one of them turned round by an n-channel mirror; r is a ratio of widths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sheet import DeviceSheet


WIDTH_P, LENGTH_P = 2.0, 0.15  # µm
WIDTH_N, LENGTH_N = 2.0, 0.15


def mirrored(sheet: DeviceSheet, branch: str, p: str, n: str, ratio: float, tag: str = "") -> dict[str, tuple[object, ...]]:
    """Devices that push ratio/2 of the current drawn from `branch` into `p`, and pull as much out of `n`."""
    copy = WIDTH_P * ratio / 2
    return {
        f"d{tag}": (f"{branch} {branch} vdd", "p", WIDTH_P, LENGTH_P),
        f"p{tag}": (f"{p} {branch} vdd", "p", copy, LENGTH_P),
        f"q{tag}": (f"w{tag} {branch} vdd", "p", copy, LENGTH_P),
        f"w{tag}": (f"w{tag} w{tag} 0", "n", WIDTH_N, LENGTH_N),
        f"n{tag}": (f"{n} w{tag} 0", "n", WIDTH_N, LENGTH_N),
    }
