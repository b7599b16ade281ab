"""Output mirrors: a branch's current, r times, into a conveyor and out of the other, which is r times it in the node.

A cascoded p-channel diode and two copies of it, one of them turned round by an n-channel mirror; r is a ratio of
widths. Mirrors without cascodes would err by 6 % over the 0.3 V between a diode's drain and a copy's.

Unequal thresholds (`copies.py`): `P` and `N` say how a copy's current follows its gate, slope factor n and I_s of a
diode of these sizes, within 0.6 % of what 10 mV change up to 5 µA (ngspice, bundled cards, 27 °C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..copies import Copies, Mirror, mirror_of
from .unequal import square_metres

if TYPE_CHECKING:
    from ..spice import Array
    from .unequal import Unequal

WIDTH_P, LENGTH_P = 2.0, 0.15  # µm
WIDTH_C, LENGTH_C = 4.0, 0.1  # cascodes
WIDTH_N, LENGTH_N = 2.0, 0.15
P, N = (1.225, 3.57e-6), (1.200, 9.44e-6)  # slope factor, I_s [A]
ERRING = ("d", "p", "q", "w", "n")


def mirrored(branch: str, p: str, n: str, ratio: float, tag: str = "") -> dict[str, tuple[str, str, float, float]]:
    """Devices that push `ratio` times the current drawn from `branch` into `p`, and pull as much out of `n`."""
    found = {}
    for name, drain, times in (("d", branch, 1.0), ("p", p, ratio), ("q", f"w{tag}", ratio)):
        middle = f"{name}{tag}:m"
        found[f"{name}{tag}"] = (f"{middle} {branch} vdd", "p", WIDTH_P * times, LENGTH_P)
        found[f"{name}{tag}c"] = (f"{drain} bc {middle}", "p", WIDTH_C * times, LENGTH_C)
    found[f"w{tag}"] = (f"w{tag} w{tag} 0", "n", WIDTH_N, LENGTH_N)
    found[f"n{tag}"] = (f"{n} w{tag} 0", "n", WIDTH_N, LENGTH_N)
    return found


def mirror_areas(ratio: Array, tag: str = "") -> dict[str, Array]:
    """W·L [m²] of the transistors of `mirrored` that differ: all but cascodes."""
    p, n = (square_metres(*size) for size in ((WIDTH_P, LENGTH_P), (WIDTH_N, LENGTH_N)))
    return {f"{k}{tag}": area for k, area in zip(ERRING, (p, p * ratio, p * ratio, n, n), strict=True)}


def copies_of(
    errors: Unequal, ratio: Array, tail_current: float, thermal_voltage: float, tag: str = ""
) -> Copies:  # fmt: skip
    """What mirrors of these transistors make of a branch's current, both as shares of the tail's, so C(y) is r⁻¹ of
    what arrives."""
    knee_n = N[1] / (tail_current * np.maximum(ratio, 1e-30))

    def mirror(diode: str, copy: str, slope_factor: float, knee: Array) -> Mirror:
        return mirror_of(errors, diode + tag, copy + tag, slope_factor, knee, thermal_voltage)

    knee_p = P[1] / tail_current
    return Copies(mirror("d", "p", P[0], knee_p), mirror("d", "q", P[0], knee_p), mirror("w", "n", N[0], knee_n))
