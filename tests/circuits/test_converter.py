"""Uniform quantisers: error statistics of the textbook, and what a model's converters do to it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells import Converter
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import operating_point

REACH = 0.5  # V
Array = Any


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_the_error_is_uniform(bits: int) -> None:
    """Variance Δ²/12, no mean, never beyond Δ/2."""
    v = np.random.default_rng(bits).uniform(-REACH, REACH, 200_000)
    error = Converter(bits)(v, REACH) - v
    step = 2 * REACH / (2**bits - 2)
    assert np.abs(error).max() <= step / 2 * (1 + 1e-9)
    assert error.var() == pytest.approx(step**2 / 12, rel=0.02)
    assert abs(error.mean()) < 4 * step / np.sqrt(12 * len(v))


def test_levels() -> None:
    """Mid-tread: 0 and both ends are levels, fewer than there are codes; monotone; saturates."""
    v = np.linspace(-1, 1, 4001)
    found = Converter(3)(v, REACH)
    assert np.unique(found) == pytest.approx(np.arange(-3, 4) / 6)
    assert (np.diff(found) >= 0).all()
    assert (found[v > REACH] == REACH).all() and (found[v < -REACH] == -REACH).all()
    assert Converter(3)(0.0, REACH) == 0.0
    assert (Converter(8)(np.zeros(3), np.zeros(3)) == 0).all()


def test_offset_shifts_every_level_but_the_ends() -> None:
    v = np.linspace(-0.4, 0.4, 81)
    assert Converter(6, offset=0.01)(v, REACH) - Converter(6)(v, REACH) == pytest.approx(0.01)
    assert Converter(6, offset=0.01)(REACH, REACH) == REACH


def test_nodes_convert_over_their_own_rails() -> None:
    circuit = ds.Circuit("two")
    circuit.clamp("u", (2,), unit=np.array([0.1, 0.2]), rail=0.4)
    found = Converter(2).nodes(circuit, "u", np.array([[1.2, 1.2]]))
    assert found == pytest.approx(np.array([[0.0 / 0.1, 0.4 / 0.2]]))  # 0.12 V and 0.24 V on levels of 0.4 V


@pytest.mark.parametrize("options", [{}, {"balanced": True}])
def test_weights_are_on_the_levels_of_their_row(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    circuit = ds.Circuit("coupling")
    circuit.clamp("u", (40,), unit=rng.uniform(0.1, 0.3, 40))
    circuit.nodes("v", (30,), unit=rng.uniform(0.1, 0.3, 30))
    circuit.couple("w", "u", "v", rng.normal(size=(30, 40)) * rng.uniform(0.1, 2, (30, 1)), **options)
    circuit.couple("fixed", "u", "v", rng.normal(size=(30, 40)), programmable=False)
    circuit.bias("b", "v", rng.normal(size=30))
    chip = ds.fabricate(circuit, weight_bits=6).circuit
    exact, found = (c.terms["w"].siemens(c) for c in (circuit, chip))  # type: ignore[attr-defined]
    step = 2 * np.abs(exact).max(axis=1, keepdims=True) / (2**6 - 2)
    assert found / step == pytest.approx(np.round(exact / step), abs=1e-9)
    assert ((found - exact) / step).var() == pytest.approx(1 / 12, rel=0.1)
    assert (chip.terms["fixed"].weight == circuit.terms["fixed"].weight).all()  # type: ignore[attr-defined]
    volts = circuit.terms["b"].value * circuit.units("v")  # type: ignore[attr-defined]
    off = np.abs(chip.terms["b"].value * circuit.units("v") - volts)  # type: ignore[attr-defined]
    assert 0 < off.max() <= np.abs(volts).max() / (2**6 - 2) * (1 + 1e-9)


def test_one_weight_a_node_is_on_the_levels_of_its_array() -> None:
    circuit = ds.Circuit("each")
    circuit.clamp("u", (5,))
    circuit.nodes("v", (5,))
    circuit.couple("w", "u", "v", np.array([1.0, -0.3, 0.0, 0.26, 0.6]))
    weight = ds.fabricate(circuit, weight_bits=3).circuit.terms["w"].weight  # type: ignore[attr-defined]
    assert weight == pytest.approx([1.0, -1 / 3, 0.0, 1 / 3, 2 / 3])


def logits(machine: Any, embed: Array, adc: int | None = None) -> Array:
    found = operating_point(machine, {"embed": embed}).logical("logits")[0]
    return found if adc is None else Converter(adc).nodes(ds.circuits.chip.circuit_of(machine), "logits", found)


@pytest.mark.parametrize("which", ["weight", "dac", "adc"])
def test_logits_of_the_bundled_model_converge_as_bits_grow(which: str) -> None:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode("But, soft! what light")
    circuit, embed = ds.map_model(model, len(ids)), model.embed(ids)
    ideal = logits(circuit, embed)
    errors = []
    for bits in (6, 10, 14, 18):
        if which == "weight":
            found = logits(ds.fabricate(circuit, weight_bits=bits), embed)
        elif which == "dac":
            found = logits(circuit, Converter(bits).nodes(circuit, "embed", embed))
        else:
            found = logits(circuit, embed, adc=bits)
        errors.append(float(np.sqrt(((found - ideal) ** 2).mean()) / np.ptp(ideal)))
    assert all(fine < coarse / 6 for coarse, fine in pairwise(errors)), errors
    assert errors[-1] < 1e-4


def test_finer_converters_cost_more() -> None:
    """E ∝ 2^bits from the technology's 8 bits; above them a conversion takes longer, below it is no faster."""
    base = load_technology().converter
    finer, coarser = base.of_bits(10, None), base.of_bits(None, 6)
    assert (finer.dac_energy, finer.dac_time) == (4 * base.dac_energy, 4 * base.dac_time)
    assert (finer.adc_energy, finer.adc_time) == (base.adc_energy, base.adc_time)
    assert (coarser.adc_energy, coarser.adc_time) == (base.adc_energy / 4, base.adc_time)
    assert base.of_bits(8, 8) == base
