"""What mismatch does to a cell's current, against explicit independent devices: thousands of chips of one cell."""

from typing import Any

import numpy as np
import pytest

from dsmachine.circuits.cells import Softmax, View
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit

CHIPS, SIGMA = 4000, 0.1
Array = Any


def currents(circuit: Circuit, x: dict[str, Array], **spread: float) -> Array:
    """Error of the current into "v" (logical) on each of CHIPS chips, (CHIPS, nodes), and the ideal current."""
    signals = {name: value[None] for name, value in x.items()}
    (term,) = circuit.terms.values()
    ideal = term.drive(signals).reshape(-1)
    found = [
        next(iter(fabricate(circuit, seed=seed, **spread).circuit.terms.values())).drive(signals).reshape(-1)
        for seed in range(CHIPS)
    ]
    return np.stack(found) - ideal


def check_moments(errors: Array, variance: Array) -> None:
    """Zero mean, this variance, no correlation between nodes: each within 4.5 standard errors."""
    assert np.abs(errors.mean(axis=0) / np.sqrt(variance)).max() < 4.5 / np.sqrt(CHIPS)
    assert np.abs(errors.var(axis=0) / variance - 1).max() < 4.5 * np.sqrt(2 / CHIPS)
    assert np.abs(np.corrcoef(errors.T) - np.eye(len(variance))).max() < 4.5 / np.sqrt(CHIPS)


def product(
    spec: str, a: Array, b: Array, shape: tuple[int, ...], gain: float = 0.7
) -> tuple[Circuit, dict[str, Array]]:
    circuit = Circuit("product")
    circuit.clamp("a", a.shape)
    circuit.clamp("b", b.shape)
    circuit.nodes("v", shape)
    circuit.multiply("p", "a", "b", "v", spec, gain)
    return circuit, {"a": a, "b": b}


@pytest.mark.parametrize("alike", [True, False], ids=["equal contributions", "contributions that cancel"])
def test_products_have_the_spread_of_independent_devices(alike: bool) -> None:
    """σ² Σ (K a b)² at each node, whatever their sum, and none in common between nodes."""
    rng = np.random.default_rng(1)
    a, b = (np.ones((3, 6)) if alike else rng.normal(size=(3, 6)) for _ in range(2))
    variance = (SIGMA * 0.7) ** 2 * np.einsum("id,jd->ij", a * a, b * b).reshape(-1)
    errors = currents(*product("id,jd->ij", a, b, (3, 3)), mismatch=SIGMA)
    check_moments(errors, variance)
    wide = [np.broadcast_to(part, (3, 3, 6)).copy() for part in (a[:, None], b[None])]
    explicit = currents(*product("ijd,ijd->ij", *wide, (3, 3)), mismatch=SIGMA)  # every device on nodes of its own
    check_moments(explicit, variance)
    assert np.sort(errors.std(axis=0)) == pytest.approx(np.sort(explicit.std(axis=0)), rel=0.1)
    share = (errors**4).mean() / (explicit**4).mean()
    assert share == pytest.approx(1, abs=0.2)


def coupled(weight: Array, u: Array, **options: Any) -> tuple[Circuit, dict[str, Array]]:
    circuit = Circuit("coupling")
    circuit.clamp("u", u.shape, unit=np.linspace(0.2, 0.4, u.shape[-1]))
    circuit.nodes("v", (len(weight),), unit=np.linspace(0.3, 0.1, len(weight)))
    circuit.couple("w", "u", "v", weight, **options)
    return circuit, {"u": u}


PAIRS = np.array([[0.5, -1.0, 0.0], [0.2, 0.1, -0.3]])


@pytest.mark.parametrize("kind", ["mismatch", "vt_mismatch"])
@pytest.mark.parametrize("elementwise", [False, True], ids=["dense", "one to one"])
def test_balanced_pairs_have_the_spread_of_two_devices(kind: str, elementwise: bool) -> None:
    """Explicit pairs in siemens: G± = (G_max ± G)/2, each device off by σ of itself, or by σ G_max."""
    weight = np.array([0.5, -1.0, 0.3]) if elementwise else PAIRS
    circuit, x = coupled(weight, np.array([0.3, -0.2, 0.4]), balanced=True)
    unit_in, unit_out = circuit.units("u"), circuit.units("v")
    g = weight * (unit_out / unit_in if elementwise else unit_out[:, None] / unit_in)  # in g₀
    most = np.abs(g).max()
    plus, minus = (most + g) / 2, (most - g) / 2
    rng = np.random.default_rng(2)
    xi = SIGMA * rng.normal(size=(2, CHIPS, *g.shape))
    each = (plus * xi[0], minus * xi[1]) if kind == "mismatch" else (most * xi[0], most * xi[1])
    volts = x["u"] * unit_in
    explicit = (each[0] - each[1]) * volts
    explicit = (explicit if elementwise else explicit.sum(axis=2)) / unit_out
    share = plus**2 + minus**2 if kind == "mismatch" else np.broadcast_to(2 * most**2, g.shape)
    variance = SIGMA**2 * share * volts**2
    variance = (variance if elementwise else variance.sum(axis=1)) / unit_out**2
    check_moments(explicit, variance)
    check_moments(currents(circuit, x, **{kind: SIGMA}), variance)


def test_one_sided_couplings() -> None:
    circuit, x = coupled(PAIRS, np.array([0.3, -0.2, 0.4]))
    check_moments(currents(circuit, x, mismatch=SIGMA), SIGMA**2 * ((PAIRS * x["u"]) ** 2).sum(axis=1))
    unit = circuit.units("u")
    peak = np.abs(PAIRS / unit).max(axis=1, keepdims=True) * unit  # of each row, in siemens
    check_moments(currents(circuit, x, vt_mismatch=SIGMA), SIGMA**2 * ((peak * x["u"]) ** 2).sum(axis=1))


@pytest.mark.parametrize("cell", ["tanh", "rectifier", "softmax"])
def test_transfer_cells(cell: str) -> None:
    """Rectifier: gain, σ of the current; pairs: offset at the input, σ·full scale, times the slope."""
    circuit, v = Circuit(cell), np.array([0.4, -0.6, 0.2])
    circuit.clamp("u", (3,), full_scale=2.0, unit=0.5)  # full scale 4 logical
    circuit.nodes("v", (3,))
    sigma = 1e-3
    if cell == "rectifier":
        circuit.rectify("t", "u", "v", gain=0.8)
        found = currents(circuit, {"u": abs(v)}, mismatch=SIGMA)
        check_moments(found, (SIGMA * 0.8 * v) ** 2)
    elif cell == "tanh":
        circuit.tanh("t", "u", "v", gain=0.8)
        check_moments(currents(circuit, {"u": v}, offset=sigma), (4 * sigma * 0.8 / np.cosh(v) ** 2) ** 2)
    else:
        circuit.add(Softmax("t", "v", View("u")))
        assert not currents(circuit, {"u": v}, offset=sigma).any()
        found = currents(circuit, {"u": v}, branch_offset=2 * sigma)  # volts, 0.5 a nat
        p = np.exp(v) / np.exp(v).sum()
        slope = np.diag(p) - np.outer(p, p)
        known = (4 * sigma) ** 2 * slope @ slope.T
        scale = np.sqrt(np.diag(known))
        assert np.abs((np.cov(found.T) - known) / np.outer(scale, scale)).max() < 4.5 * np.sqrt(2 / CHIPS) + 0.02


def test_one_device_is_off_by_a_normal_share() -> None:
    one = currents(*product("d,d->d", np.full(4, 0.3), np.full(4, -0.5), (4,)), mismatch=SIGMA)
    check_moments(one, np.full(4, (SIGMA * 0.7 * 0.15) ** 2))
    shared = currents(*product("i,j->ij", np.ones(2), np.ones(2), (2, 2)), mismatch=SIGMA)
    check_moments(shared, np.full(4, (SIGMA * 0.7) ** 2))
    assert (shared**4).mean() / (shared**2).mean() ** 2 == pytest.approx(3, abs=0.3)
