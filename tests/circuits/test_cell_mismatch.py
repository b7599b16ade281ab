"""What mismatch does to a cell's current, against explicit independent devices: thousands of chips of one cell."""

from typing import Any

import numpy as np
import pytest

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


def test_one_device_is_off_by_a_normal_share() -> None:
    one = currents(*product("d,d->d", np.full(4, 0.3), np.full(4, -0.5), (4,)), mismatch=SIGMA)
    check_moments(one, np.full(4, (SIGMA * 0.7 * 0.15) ** 2))
    shared = currents(*product("i,j->ij", np.ones(2), np.ones(2), (2, 2)), mismatch=SIGMA)
    check_moments(shared, np.full(4, (SIGMA * 0.7) ** 2))
    assert (shared**4).mean() / (shared**2).mean() ** 2 == pytest.approx(3, abs=0.3)
