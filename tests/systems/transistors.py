"""Two crossbars of transistors after the square law, written out again here and integrated by scipy.

    u (2, 4) -> a (2, 3)   single transistors: ½ f(V, v/2), β_t = 4β
    a        -> b (2, 2)   pairs of unequal ones: ½ [f₁(V, v/2) − f₂(V, −v/2)], β_t = 2β

    f_k(V, u) = m (1 + β_k) β_t[(V − δ_k − V_t) u − u²/2],        m β (V − V_t) = |G|

In the first position a logical unit of u is half as many volts, of a a quarter.
"""

from functools import cache

import numpy as np
from device_cards import BETA, square_pair, square_single
from systems.system import TAU, Array, System, integrated

from dsmachine.circuits.cells.mismatch import Draw
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit

CONDUCTANCE, SEED = 32.26e-6, 7
A_VT, A_BETA = 3.5e-9, 5e-8
UNIT_U, UNIT_A, UNIT_B = np.array([[0.5], [1.0]]), np.array([[0.25], [1.0]]), 0.8
SHAPES = {"a": (2, 3), "b": (2, 2)}


def weights() -> tuple[Array, Array, Array]:
    """(u → a (3, 4), a → b (2, 3), u (2, 4)); conductances well above 0, where the square law is no transistor's."""
    rng = np.random.default_rng(11)
    sign = [rng.choice([-1, 1], shape) for shape in ((3, 4), (2, 3))]
    return (
        sign[0] * rng.uniform(0.4, 0.8, (3, 4)),
        sign[1] * rng.uniform(0.4, 0.8, (2, 3)),
        rng.uniform(-0.2, 0.2, (2, 4)),
    )


def circuit() -> Circuit:
    wa, wb, _ = weights()
    c = Circuit("transistors")
    c.clamp("u", (2, 4), unit=UNIT_U)
    c.nodes("a", (2, 3), unit=UNIT_A, rail=None)
    c.nodes("b", (2, 2), unit=UNIT_B, rail=None, layer="late")
    c.couple("ua", "u", "a", wa, device_card=square_single())
    ideal = c.terms["ua"]
    c.couple("ab", "a", "b", wb, device_card=square_pair())
    chip = fabricate(c, seed=SEED, threshold_area=A_VT, beta_area=A_BETA).circuit
    return chip.with_terms([ideal])


@cache
def constants() -> tuple[list[int], Array, Array]:
    """(fingers of ua and ab, m δ and 1 + β of the two transistors of each unit of ab, (2, out, in))."""
    made, draw, shape = circuit().terms, Draw(SEED), weights()[1].shape
    m: list[int] = [made[name].fingers for name in ("ua", "ab")]  # type: ignore[attr-defined]
    side = np.sqrt(120e-9 * 1e-6 * m[1])
    shift, gain = (
        np.stack([sigma / side * draw("ab", f"{kind} of transistor {k}", shape) for k in range(2)])
        for kind, sigma in (("threshold", A_VT), ("beta", A_BETA))
    )
    return m, m[1] * shift, 1 + gain


def slope(u: Array, v: Array) -> Array:
    """τ dv/dt of all nodes in volts, for input u in logical units."""
    wa, wb, _ = weights()
    (m, mb), shift, gain = constants()
    a, b = v[:6].reshape(2, 3), v[6:].reshape(2, 2)
    into_a, into_b = np.empty_like(a), np.empty_like(b)
    for p in range(2):
        x = u[p] * UNIT_U[p]
        g = CONDUCTANCE * wa * UNIT_A[p] / UNIT_U[p]
        into_a[p] = (g * x - np.sign(g) * m * BETA / 4 * x**2).sum(axis=1) / CONDUCTANCE
        g = CONDUCTANCE * wb * UNIT_B / UNIT_A[p]
        total = np.zeros(wb.shape)
        for k, side in ((0, 1.0), (1, -1.0)):
            half = side * a[p] / 2
            total += side * gain[k] * ((np.abs(g) - BETA * shift[k]) * half - mb * BETA / 2 * half**2)
        into_b[p] = (np.sign(g) * total).sum(axis=1) / CONDUCTANCE
    return np.concatenate([(into_a - a).reshape(-1), (into_b - b).reshape(-1)])


@cache
def transistors() -> System:
    u = weights()[2]
    sizes = {name: int(np.prod(shape)) for name, shape in SHAPES.items()}

    def exact(t: Array) -> dict[str, Array]:
        return integrated(lambda s, v: slope(u, v), np.zeros(10), t, np.array([0.0]), sizes)

    return System("transistors", circuit(), exact, 20 * TAU, {"u": u})
