"""Shares of a read number's variance: Lyapunov's equation source by source, kT/C, the stepper's samples, a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov
from small_models import PROMPT, write_small
from systems.test_noise import KTC, PRODUCT_INPUTS, TAU, passive, products
from systems.test_noise_analysis import capacitors

import dsmachine as ds
from dsmachine.emulator.linearized import intensities, joined
from dsmachine.emulator.operating_point import jacobian, solve_operating_point
from dsmachine.emulator.prepare import prepare


def by_source(circuit: ds.Circuit, inputs: Any, read: Any) -> dict[str, float]:
    """cᵀ P c with A P + P Aᵀ + Q = 0, Q of one part of the circuit at a time: tr Q X with Aᵀ X + X A + c cᵀ = 0."""
    plan = prepare(circuit, precision="float64")
    x, stages = solve_operating_point(plan, inputs), plan.stages
    rates = joined(stages, {s.name: np.broadcast_to(1 / s.node.time_constants, s.node.shape) for s in stages})
    rate = rates[:, None] * jacobian(plan, stages, x)
    zero = {s.name: np.zeros(s.node.shape) for s in stages}
    c = joined(stages, zero | {str(circuit.output): read})
    seen = np.diag(solve_continuous_lyapunov(rate.T, -np.outer(c, c)))
    found = {}
    for stage in stages:
        for part, q in intensities(plan, stage, x).items():
            spread = joined(stages, zero | {stage.name: np.broadcast_to(q, (1, *stage.node.shape))[0]})
            found[part] = float(seen @ spread)
    return found


def check_shares(circuit: ds.Circuit, inputs: Any, output: str) -> None:
    circuit = replace(circuit, output=output)
    read = np.random.default_rng(0).normal(size=circuit.arrays[output].shape) * circuit.arrays[output].present
    found = ds.noise_shares(circuit, inputs, read, frequencies=64)
    known = by_source(circuit, inputs, read)
    total = sum(known.values())
    assert found.variance == pytest.approx(total, rel=1e-8)
    for part, value in known.items():
        assert found.parts.get(part, 0.0) == pytest.approx(value, rel=1e-6, abs=1e-9 * total), part
    for key in ("part", "kind", "layer"):
        assert sum(found.by(key).values()) == pytest.approx(1)


def test_shares_are_lyapunovs_source_by_source() -> None:
    check_shares(capacitors(), {"u": np.zeros((2, 4))}, "c")
    check_shares(products(), PRODUCT_INPUTS, list(products().arrays)[-1])


def test_a_passive_node_has_kt_over_c() -> None:
    circuit = replace(passive(), output=list(passive().arrays)[-1])
    read = np.zeros(circuit.arrays[str(circuit.output)].shape)
    read.flat[0] = 1
    inputs = {node.name: np.zeros(node.shape) for node in circuit.inputs()}
    found = ds.noise_shares(circuit, inputs, read)
    volts = found.rms * circuit.units(str(circuit.output)).flat[0]
    assert volts**2 == pytest.approx(KTC, rel=1e-9)


def test_a_models_logit_tails_and_all(tmp_path: Path) -> None:
    """The softmax's tail is a lag of the adjoint too: without it the variance would be another."""
    model = ds.load_model(write_small(tmp_path / "model"))
    circuit = ds.map_model(model, 2)
    slow = [
        replace(node, capacitance=20 * node.capacitance) for node in circuit.arrays.values() if node.is_inner
    ]  # 20 times slower: a nanosecond that is seen
    circuit, inputs = circuit.with_terms((), slow), {"embed": model.embed(model.encode(PROMPT[:2]))}
    read = np.zeros(circuit.arrays["logits"].shape)
    read[-1, 3], read[-1, 5] = 1, -1
    found = ds.noise_shares(circuit, inputs, read)
    known = by_source(circuit, inputs, read)
    assert found.variance == pytest.approx(sum(known.values()), rel=1e-6)
    for part, value in known.items():
        assert found.parts.get(part, 0.0) == pytest.approx(value, rel=1e-5, abs=1e-8 * found.variance), part


def test_sampled_variance_is_within_five_percent() -> None:
    circuit = products()
    output = list(circuit.arrays)[-1]
    circuit = replace(circuit, output=output)
    read = np.ones(circuit.arrays[output].shape)
    found = ds.noise_shares(circuit, PRODUCT_INPUTS, read)
    run = ds.transient(circuit, PRODUCT_INPUTS, noise="thermal", samples=20_000, read_window=30 * TAU, noise_seed=3)
    sampled = (run.logical(output) * read).reshape(20_000, -1).sum(axis=1).var()
    assert found.variance == pytest.approx(sampled, rel=0.05)


def test_what_shares_cannot_tell() -> None:
    circuit = replace(products(), output=list(products().arrays)[-1])
    read = np.ones(circuit.arrays[str(circuit.output)].shape)
    with pytest.raises(ds.Error, match="frequencies is 5: use an even number"):
        ds.noise_shares(circuit, PRODUCT_INPUTS, read, frequencies=5)
    with pytest.raises(ds.Error, match="read has shape"):
        ds.noise_shares(circuit, PRODUCT_INPUTS, np.ones(77))
    resistive = circuit.with_terms((), [replace(n, input_resistance=18.0) for n in circuit.arrays.values()])
    with pytest.raises(ds.Error, match="have an r_x, which no adjoint has"):
        ds.noise_shares(resistive, PRODUCT_INPUTS, read)
