"""A chip is drawn once: the same from the same seed, whatever the order in which its parts were described."""

from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits import chip as module
from dsmachine.circuits.cells import Source
from dsmachine.circuits.cells.mismatch import Draw
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.mapping.model import map_model

W = np.linspace(-0.5, 0.5, 1200).reshape(30, 40)
EVERYTHING: dict[str, Any] = {"mismatch": 0.02, "vt_mismatch": 0.01, "offset": 0.03, "branch_offset": 0.005}


def build(backwards: bool = False) -> Circuit:
    circuit = Circuit("two")
    circuit.clamp("u", (40,))
    names = ["a", "b"]
    for name in reversed(names) if backwards else names:
        circuit.nodes(name, (30,))
        circuit.couple(f"w.{name}", "u", name, W)
    return circuit


def weight(circuit: Circuit, name: str) -> Any:
    return np.asarray(vars(circuit.terms[name])["weight"])


def test_order_does_not_matter() -> None:
    one, other = (fabricate(build(backwards), seed=4, **EVERYTHING).circuit for backwards in (False, True))
    for name in ("a", "b"):
        assert (weight(one, f"w.{name}") == weight(other, f"w.{name}")).all()
        assert (one.arrays[name].offset == other.arrays[name].offset).all()
    assert (weight(one, "w.a") != weight(one, "w.b")).any()


def test_seed_zero_is_an_ordinary_seed() -> None:
    chips = [fabricate(build(), seed=seed, **EVERYTHING).circuit for seed in (0, 0, 1)]
    assert (weight(chips[0], "w.a") == weight(chips[1], "w.a")).all()
    assert (weight(chips[0], "w.a") != weight(chips[2], "w.a")).all()
    assert fabricate(build(), **EVERYTHING).seed == 0


def test_spreads_have_the_size_they_say() -> None:
    beta = (weight(fabricate(build(), mismatch=0.02).circuit, "w.a") / W - 1).std()
    assert beta == pytest.approx(0.02, rel=4 / np.sqrt(2 * W.size))
    additive = weight(fabricate(build(), vt_mismatch=0.01).circuit, "w.a") - W
    share = additive / np.abs(W).max(axis=1, keepdims=True)
    assert share.std() == pytest.approx(0.01, rel=4 / np.sqrt(2 * W.size))
    offsets = fabricate(build(), offset=0.03).circuit.arrays
    volts = np.concatenate([offsets["a"].offset, offsets["b"].offset])
    assert volts.std() * 3 == pytest.approx(0.03, rel=4 / np.sqrt(2 * len(volts)))


@pytest.mark.parametrize(("weight", "value"), [(1, 2), (np.eye(3, dtype=int), np.array([2, 0, -2])), (np.eye(3), 2.0)])
def test_whole_numbers_err_as_others_do(weight: Any, value: Any) -> None:
    """And rest where others do, one number for all nodes too: nothing is rounded to whole numbers."""
    found = []
    for cast in (float, int):
        circuit = Circuit("whole", output="v")
        circuit.clamp("u", (3,), unit=0.1)
        for name in ("v", "w"):
            circuit.nodes(name, (3,), unit=0.1)
        circuit.couple("c", "u", "v", np.asarray(weight, cast) if np.ndim(weight) else cast(weight))
        circuit.add(Source("s", "w", np.asarray(value, cast) if np.ndim(value) else cast(value)))
        chip = fabricate(circuit, seed=1, mismatch=0.05, vt_mismatch=0.01)
        found.append(ds.operating_point(chip, {"u": np.array([0.5, 1.0, -1.0])}).outputs)
    for name in ("v", "w"):
        assert np.array_equal(found[0][name], found[1][name])
        assert np.abs(found[0][name]).max() > 0.05


def test_no_two_draws_of_a_chip_of_the_bundled_model_are_correlated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms and arrays share names (a softmax cell and its nodes), so the kind of a draw must tell them apart."""
    drawn: dict[tuple[str, str], Any] = {}

    class Recorder(Draw):
        def __call__(self, array: str, kind: str, shape: tuple[int, ...]) -> Any:
            numbers = super().__call__(array, kind, shape)
            # a pair and its tails are the same devices, seen twice
            assert (array, kind) not in drawn or kind == "branch offset"
            drawn[array, kind] = numbers.reshape(-1)
            return numbers

    monkeypatch.setattr(module, "Draw", Recorder)
    fabricate(map_model("tiny-shakespeare", 16), **EVERYTHING)
    assert {("h.0.attn.prob", "branch offset"), ("h.0.attn.prob", "node offset")} <= set(drawn)
    assert len({z[0] for z in drawn.values()}) == len(drawn) > 100
    for least in (256, 1024, 4096):
        long = np.stack([z[:least] for z in drawn.values() if len(z) >= least])
        off = np.abs(np.corrcoef(long) - np.eye(len(long)))
        assert off.max() < 6 / np.sqrt(least), least


def test_nodes_that_do_not_exist_have_no_offset() -> None:
    """What reads them reads 0 V: Σ p v over causal probabilities gets nothing from the future."""
    circuit = Circuit("masked")
    circuit.clamp("u", (4,))
    circuit.nodes("v", (4,), exists=np.array([True, True, False, False]), offset=0.01)
    circuit.couple("w", "u", "v", 1.0)
    for machine in (circuit, fabricate(circuit, offset=0.03)):
        volts = ds.operating_point(machine, {"u": np.full(4, 0.1)}).outputs["v"][0]
        assert (volts[:2] != 0.1).all() and (volts[2:] == 0).all()


def test_an_ideal_chip_is_the_circuit() -> None:
    circuit = fabricate(build(), seed=9).circuit
    assert (weight(circuit, "w.a") == W).all()
    assert circuit.arrays["a"].offset == 0.0


def test_trim_leaves_its_residual() -> None:
    trimmed = fabricate(build(), mismatch=0.1, vt_mismatch=0.1, trim={"write-verify": 0.001}).circuit
    assert np.abs(weight(trimmed, "w.a") - W).max() < 5 * 0.002
    zeroed = fabricate(build(), offset=0.1, trim={"auto-zero": 1e-4}).circuit
    assert np.abs(zeroed.arrays["a"].offset).max() < 5e-4 / 3


def test_bad_requests_are_named() -> None:
    with pytest.raises(ds.Error, match="'laser'"):
        fabricate(build(), trim={"laser": 0.1})
    with pytest.raises(ds.Error, match="-1"):
        fabricate(build(), seed=-1)
