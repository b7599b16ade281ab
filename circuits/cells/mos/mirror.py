"""Output mirrors: a branch's current, r times, into a conveyor and out of the other, which is r times it in the node.

A cascoded p-channel diode and two copies of it, one of them turned round by an n-channel mirror; r is a ratio of
widths. Mirrors without cascodes would err by 6 % over the 0.3 V between a diode's drain and a copy's.
"""

from __future__ import annotations

WIDTH_P, LENGTH_P = 2.0, 0.15  # µm
WIDTH_C, LENGTH_C = 4.0, 0.1  # cascodes
WIDTH_N, LENGTH_N = 2.0, 0.15


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
