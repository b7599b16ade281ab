"""Power laws of products against the sum over their devices, K|v_a| v_b² each, written out as an einsum."""

from typing import Any

import numpy as np
import pytest

from dsmachine.circuits.cells.power import Law
from dsmachine.circuits.cells.product_law import Contracted, Paired, product_law
from dsmachine.circuits.cells.term import View

Array = Any
SIZES = dict(zip("ghijdr", (2, 3, 4, 5, 6, 1), strict=True))
SPECS = {
    "ihd,jhd->hij": Contracted,
    "igrd,jgd->grij": Contracted,
    "grij,jgd->igrd": Contracted,
    "i,j->ij": Contracted,
    "id,id->i": Paired,
    "id,id->id": Paired,
    "i,id->id": Paired,
    "di,id->id": Paired,
    "hij,hij->hi": Paired,
}


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("chip", ["ideal", "chip", "adjoint of a chip"])
@pytest.mark.parametrize("spec", list(SPECS))
def test_sum_over_devices(spec: str, chip: str, alike: bool) -> None:
    """Also where all targets but the first along an axis are alike: they are added up before. Errors of an adjoint's
    devices have a third factor, of the target's node."""
    rng = np.random.default_rng(0)
    inputs, out = spec.split("->")
    of_a, of_b = inputs.split(",")
    shape = {letters: tuple(SIZES[i] for i in letters) for letters in (of_a, of_b, out)}
    x = {"a": rng.normal(size=(7, *shape[of_a])), "b": rng.normal(size=(7, *shape[of_b]))}
    scale, unit = rng.uniform(size=shape[out]), rng.uniform(size=shape[of_b])
    if alike and "i" in out:
        along = np.moveaxis(scale, out.index("i"), 0)
        along[2:] = along[1]
    signs = None if chip == "ideal" else rng.choice([-1.0, 1.0], shape[of_a])
    errors = None if chip == "ideal" else 0.1 * rng.normal(size=shape[of_b])
    results = rng.normal(size=shape[out]) if chip == "adjoint of a chip" else None
    law: Law = product_law(View("a"), View("b"), spec, scale, unit, signs, errors, results)
    assert isinstance(law, SPECS[spec])

    def summed(a: Array, b: Array, of_target: Array = scale) -> Array:
        return np.einsum(f"Z{of_a},Z{of_b},{out}->Z", a, b, of_target)

    size, b = np.abs(x["a"]), np.abs(x["b"])
    amperes, watts = summed(size, b), summed(size, b**2 * unit)
    if signs is not None and errors is not None:
        third = scale if results is None else scale * results
        amperes += summed(size * signs, b * errors, third)
        watts += summed(size * signs, b**2 * unit * errors, third)
    power = law(x)
    assert power.supply == pytest.approx(amperes)
    assert power.heat == pytest.approx(watts)
    assert power.delivered == pytest.approx(watts)
