"""A small circuit with every kind of cell, whose equations are written out again here and integrated by scipy.

    u (2, 4) ramps up and clamps a; then
    a  = buffered couplings through r_x           b  = passive couplings of a (they load b)
    q  = Σ a²/3 + bias (product)                  s  = sqrt(q) (root)
    y  = a / s (division: feedback s)             p  = softmax(6 a) along the last axis
    h  = 0.3 tanh(a) + 0.05 a                     r  = max(a, 0)
    e  = a, delayed by a lag of its own           z  = 8 (a − e) + wz b + 0.2 p: overshoots, hits its rail hard,
                                                       settles inside

Positions × width (2, 3); b is (2, 2). Units of y, b and p are not 1.
"""

from functools import cache
from typing import Any

import numpy as np
from systems.root import smooth_ramp
from systems.system import TAU, Array, System, integrated

from dsmachine.circuits.cells import Feedback, Softmax, View
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import PiecewiseLinear

P, D = 2, 3
CONDUCTANCE, RX, RAIL, KNEE, FLOOR, BIAS = 32.26e-6, 2e3, 0.5, 0.1, 0.02, 0.05
UNIT_Y, UNIT_B, UNIT_P = 0.25, 0.5, 0.4
NODES = {"a": P * D, "b": P * 2, "e": P * D, "q": P, "s": P, "y": P * D, "p": P * D, "h": P * D, "r": P * D, "z": P * D}
CORNERS = np.array([0.0, 0.5 * TAU, 6.0 * TAU, 7.0 * TAU])


def weights() -> tuple[Array, Array, Array, Array]:
    """(u → a (3, 4), a → b (2, 3), b → z (3, 2), u (2, 4))."""
    rng = np.random.default_rng(3)
    shapes = (D, 4), (2, D), (D, 2), (P, 4)
    wa, wb, wz, u = (rng.uniform(-0.5, 0.5, shape) for shape in shapes)
    return 1.5 * wa, wb, 0.3 * wz, 0.8 * u


def levels(u: Array) -> Array:
    """u at the corners: up at once in τ/2, then to other values at 6 … 7 τ."""
    return np.stack([0 * u, u, u, 0.7 * u[::-1]])


def circuit() -> Circuit:
    wa, wb, wz, _ = weights()
    c = Circuit("everything")
    c.clamp("u", (P, 4))
    c.nodes("a", (P, D), input_resistance=RX)
    c.nodes("b", (P, 2), unit=UNIT_B)
    c.nodes("e", (P, D))
    c.nodes("q", (P, 1))
    c.nodes("s", (P, 1), feedback=Feedback("s", floor=FLOOR))
    c.nodes("y", (P, D), unit=UNIT_Y, feedback=Feedback("s", floor=FLOOR))
    c.nodes("p", (P, D), unit=UNIT_P, layer="late")
    for name in ("h", "r", "z"):
        c.nodes(name, (P, D), layer="late")
    c.couple("ua", "u", "a", wa)
    c.couple("ab", "a", "b", wb, passive=True)
    c.couple("ae", "a", "e", 1.0)
    c.multiply("aq", "a", View("a"), "q", "pd,pd->p", 1 / D)
    c.bias("iq", "q", BIAS)
    c.couple("qs", "q", "s", 1.0)
    c.couple("ay", "a", "y", 1.0)
    c.add(Softmax("ap", "p", View("a"), gain=6.0))
    c.couple("a3", "a", "h", 0.05)
    c.tanh("ah", "a", "h", gain=0.3)
    c.rectify("ar", "a", "r")
    c.couple("az", "a", "z", 8.0)
    c.couple("ez", "e", "z", -8.0)
    c.couple("bz", "b", "z", wz)
    c.couple("pz", "p", "z", 0.2)
    return c


def held(drive: Array, bound: Array) -> Array:
    """limit(drive; bound): the conveyor's smooth end, written again."""
    size = np.abs(drive)
    return np.sign(drive) * (size - smooth_ramp(size - bound, KNEE * bound))


def slope(u: Array, v: Array) -> Array:
    """τ dv/dt of all nodes (volts), for input u."""
    wa, wb, wz, _ = weights()
    edges = np.cumsum([0, *NODES.values()])
    x = {n: v[i:j].reshape(P, -1) for n, i, j in zip(NODES, edges[:-1], edges[1:], strict=True)}
    a, b, e, q, s = (x[n] for n in "abeqs")
    y = x["y"] / UNIT_Y
    b = b / UNIT_B
    soft = np.exp(6 * a)
    p = x["p"] / UNIT_P
    load = np.abs(wb).sum(axis=1) * UNIT_B  # ΣG/g: U_b w / U_a, U_a = 1
    gamma = FLOOR + smooth_ramp(s - FLOOR, FLOOR / 2)
    pull = 1 / (1 + RX * CONDUCTANCE * np.abs(wa).sum(axis=1))
    r_knee = smooth_ramp(a, 1e-3)
    drive_s = q.copy()
    d = {
        "a": held((u @ wa.T) * pull, RAIL) - a,
        "b": UNIT_B * (a @ wb.T - (1 + load) * b),
        "e": held(a, RAIL) - e,
        "q": held((a * a).sum(axis=1, keepdims=True) / D + BIAS, RAIL) - q,
        "s": held(drive_s, np.where(drive_s > 0, RAIL**2, FLOOR * RAIL)) - gamma * s,
        "y": UNIT_Y * (held(a, gamma * RAIL / UNIT_Y) - gamma * y),
        "p": UNIT_P * (held(soft / soft.sum(axis=1, keepdims=True), RAIL / UNIT_P) - p),
        "h": held(0.3 * np.tanh(a) + 0.05 * a, RAIL) - x["h"],
        "r": held(r_knee, RAIL) - x["r"],
        "z": held(8 * (a - e) + b @ wz.T + 0.2 * p, RAIL) - x["z"],
    }
    return np.concatenate([part.reshape(-1) for part in d.values()])


@cache
def everything() -> System:
    u = weights()[3]
    wave: Any = PiecewiseLinear(CORNERS, levels(u))

    def drive(t: float) -> Array:
        return np.asarray(wave.at(np.array([t * TAU]))[0])

    def exact(t: Array) -> dict[str, Array]:
        start = np.zeros(sum(NODES.values()))
        return integrated(lambda s, v: slope(drive(s), v), start, t, CORNERS, NODES)

    return System("everything", circuit(), exact, 100 * TAU, {"u": wave})
