"""What the benchmarks of other solvers stand on: they solve the very same circuit, and their helpers count right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.operating_point import residual

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Array = Any


@pytest.fixture(autouse=True)
def benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def machine(change: str) -> tuple[Circuit, Array]:
    """A GPT-2-like machine of three layers, as mapped or changed, and its embedding."""
    import stiff
    from machines import gpt2_like, random_machine
    from outside.cases import without_tails

    circuit, embedded = random_machine(gpt2_like(3, 32, 4), 8, 32)
    changes = {"as mapped": lambda c: c, "tails at rest": without_tails, "passive": stiff.passive, "fast": stiff.fast}
    return changes[change](circuit), embedded


def somewhere(circuit: Circuit) -> dict[str, Array]:
    """A state within 1.5 full scales, beyond many knees, (1, *shape)."""
    rng = np.random.default_rng(1)
    reach = {n: circuit.full_scale(n) / circuit.units(n) for n, a in circuit.arrays.items() if not a.clamped}
    return {name: (value * rng.uniform(-1.5, 1.5, value.shape))[None] for name, value in reach.items()}


def wanted(plan: Any, x: dict[str, Array]) -> dict[str, Array]:
    """dx/dt [1/s] of every free array (*shape), by the plan's own stages."""
    found = {}
    for stage in plan.stages:
        bends = stage.node.bends
        moved = stage.pull(x[stage.name], stage.delivered(x, None))[0] if bends else residual(stage, x)
        per_second = moved / np.asarray(stage.node.time_constants, float)
        found[stage.name] = np.broadcast_to(per_second, (1, *stage.node.shape))[0]
    return found


@pytest.mark.parametrize("change", ["as mapped", "passive", "fast"])
def test_the_circuit_in_jax_moves_as_the_plan_does(change: str) -> None:
    jax = pytest.importorskip("jax")
    from outside.jax_circuit import JaxCircuit

    circuit, embedded = machine(change)
    plan = ds.prepare(circuit, precision="float64")
    x = somewhere(circuit)
    expected = wanted(plan, x | {"embed": np.asarray(embedded, float)[None]})
    second = 1.5e-9
    with jax.enable_x64(True):
        there = JaxCircuit(plan, {"embed": embedded}, second)
        moved = jax.jit(there.rate)(there.stack(x), there.constants)
        assert len(there.stacks["h.*.mlp.pre"].members) == 3  # layers are one array
        for name, rate in expected.items():
            found = np.asarray(there.member(moved, name))
            assert found.dtype == np.float64
            assert np.abs(found - rate * second).max() <= 1e-12 * max(1.0, np.abs(rate * second).max()), name


def test_the_flat_vector_moves_as_the_plan_does() -> None:
    from outside.explicit import Flat

    circuit, embedded = machine("as mapped")
    plan = ds.prepare(circuit, precision="float64")
    x = somewhere(circuit)
    flat = Flat(plan, {"embed": embedded}, 1e-9)
    y = np.concatenate([(x[s.name] * s.per_full_scale).reshape(-1) for s in plan.stages])
    both = flat(0.0, np.stack([y, 0.5 * y], axis=1))
    assert np.allclose(flat(0.0, y), both[:, 0], rtol=1e-12, atol=1e-12)
    expected = wanted(plan, x | {"embed": np.asarray(embedded, float)[None]})
    for name, moved in flat.split(both[:, :1]).items():
        assert np.allclose(moved[0], expected[name] * 1e-9, rtol=1e-9, atol=1e-12), name


def lag(circuit: Circuit | None = None) -> Circuit:
    """One node that follows an input."""
    circuit = circuit or Circuit("lag")
    circuit.clamp("u", (1,))
    circuit.nodes("y", (1,))
    circuit.couple("W", "u", "y", np.ones((1, 1)))
    return circuit


def test_forward_euler_of_a_lag_is_the_geometric_series() -> None:
    from outside.explicit import Euler

    plan = ds.prepare(lag(), precision="float64")
    engine = Euler(plan, {"u": np.array([0.2])}, plan.stages[0].node.time_constant / 20)
    engine.steps(30)
    assert engine.x["y"][0, 0] == pytest.approx(0.2 * (1 - (1 - 1 / 20) ** 30), rel=1e-13)


def test_the_longest_step_is_where_forward_euler_stops_to_be_stable() -> None:
    from outside.explicit import Euler, longest_step

    plan = ds.prepare(lag(), precision="float64")
    limit = longest_step(plan)
    assert limit == pytest.approx(2 * plan.stages[0].node.time_constant)
    ends = []
    for share in (0.99, 1.01):
        engine = Euler(plan, {"u": np.array([0.2])}, share * limit)
        engine.steps(200)
        ends.append(abs(engine.x["y"][0, 0] - 0.2))
    assert ends[0] < 0.2 < ends[1]


def test_every_rival_converges_to_the_reference_of_a_tile() -> None:
    from outside import explicit
    from outside.cases import referred, tile

    case = referred("tile-4", *tile(4), "numpy")
    first, second = explicit.euler(case, "float64", (20, 80), 60.0)
    assert second["nrmse"] * second["steps"] == pytest.approx(first["nrmse"] * first["steps"], rel=0.1)  # first order
    assert next(explicit.radau(case, (1e-7,), 60.0))["nrmse"] < 1e-5
    pytest.importorskip("diffrax")
    from outside import in_jax

    row = next(in_jax.adaptive(case, "float32", "Tsit5", ((1e-5, 1e-6),), 60.0, 1))
    assert row["nrmse"] < 1e-5


def test_what_is_lost_counts_as_no_answer() -> None:
    from outside.cases import referred, tile

    case = referred("tile-4", *tile(4), "numpy")
    values = {name: np.zeros((len(case.times), 4)) for name in ("y", "z", "q")}
    values["q"][-1] = np.nan
    assert case.error(case.sampled(values)) == (np.inf, "q")


def test_the_fastest_setting_within_the_error_counts() -> None:
    import rivals

    tried = [{"nrmse": 1e-2, "wall_s": 1.0}, {"nrmse": 5e-4, "wall_s": 3.0}, {"nrmse": 9e-4, "wall_s": 2.0}]
    assert rivals.chosen(tried, 1e-3) is tried[2]
    assert rivals.chosen(tried, 1e-5) is tried[1]


def test_tails_at_rest_are_a_softmax_that_follows_at_once() -> None:
    mapped, embedded = machine("as mapped")
    rest, _ = machine("tails at rest")
    assert not any(node.is_inner for node in rest.arrays.values())
    ends = [ds.operating_point(c, {"embed": embedded}).logical("logits") for c in (mapped, rest)]
    assert np.allclose(*ends, rtol=0, atol=1e-12)


def test_fast_nodes_and_spread_change_time_constants_alone() -> None:
    import stiff

    circuit, _ = machine("tails at rest")
    plain = circuit.arrays["h.0.mlp.pre"].time_constants
    quick = stiff.fast(circuit).arrays["h.0.mlp.pre"]
    share = np.mean(np.isclose(np.asarray(quick.time_constants), plain / stiff.FASTER, atol=0))
    assert 0 < share < 0.03
    wide = np.asarray(stiff.spread(circuit).arrays["h.0.mlp.pre"].time_constants) / plain
    assert wide.min() >= 0.7 and wide.max() <= 1.3 and np.ptp(wide) > 0.5
    assert replace(quick, capacitance=circuit.arrays["h.0.mlp.pre"].capacitance) == circuit.arrays["h.0.mlp.pre"]


def chain(stages: int) -> Circuit:
    """Lags in a row, each a layer of its own."""
    circuit = lag(Circuit("chain"))
    for k in range(1, stages):
        circuit.nodes(f"y{k}", (1,), layer=f"{k}")
        circuit.couple(f"W{k}", "y" if k == 1 else f"y{k - 1}", f"y{k}", np.ones((1, 1)))
    return circuit


def test_a_layer_is_awake_from_when_its_front_comes() -> None:
    import depth

    circuit = chain(4)
    leaving = depth.Leaving(0.5)
    value = 0.8 * circuit.full_scale("y")[0] / circuit.units("y")[0]
    both = np.array([[value], [0.0]])
    tau = circuit.arrays["y"].time_constant
    ds.transient(circuit, {"u": both}, duration=20 * tau, settle_bits=0, observers=[leaving], tolerance=1e-5)
    # P(k, t/τ) = 0.5/0.8 of a row of lags: for one, t = τ ln(8/3)
    assert leaving.time["y"] == pytest.approx(tau * np.log(8 / 3), rel=0.3)  # looked at the points of elements
    times = [leaving.time[name] for name in ("y", "y1", "y2", "y3")]
    assert times == sorted(times)
    settled = dict.fromkeys(leaving.time, 20 * tau)
    windows = depth.awake(circuit, leaving.time, settled)
    assert windows["3"] == pytest.approx(20 * tau - leaving.time["y3"])


def test_the_exponent_is_that_of_a_power_law() -> None:
    import depth

    depths = [6, 8, 12, 16]
    assert depth.exponent(depths, [3.0 * d**1.3 for d in depths]) == pytest.approx(1.3)
