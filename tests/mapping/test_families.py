"""OPT and Llama circuits: at rest against transformers and the reference, while they relax, in ngspice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_models import LLAMAS, exact_logits, make, some_tokens, write

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.reference import calibrate_ranges, forward
from dsmachine.circuits.technology import load_technology

WIDE = load_technology("cmos45", overrides={"supply.swing": 4.0})  # random weights reach further than trained ones
CASES: dict[str, tuple[str, dict[str, Any]]] = {"opt": ("opt", {})} | {k: ("llama", v) for k, v in LLAMAS.items()}
NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")


def built(
    folder: Path, case: str, count: int = 12, quiet: float = 1.0, **options: Any
) -> tuple[Any, Any, Any, ds.Circuit]:
    """(transformers' model, ours, tokens, circuit); ranges are those of the very tokens, queries and gates scaled by
    `quiet`."""
    family, changes = CASES[case]
    theirs = make(family, **changes)
    for name, weight in theirs.named_parameters():
        if "q_proj" in name or "gate_proj" in name:
            weight.data *= quiet
    ours = ds.load_model(write(folder, theirs))
    tokens = some_tokens(count)
    text = ours.decode([int(t) for t in tokens])
    seen: dict[str, Any] = {"softmax": "taylor", "order": options["order"]} if "order" in options else {}
    seen |= {"activation": "taylor"} if options.get("activation") == "taylor" and family == "llama" else {}
    ranges = Ranges(calibrate_ranges(ours, text, count, **seen))
    return theirs, ours, tokens, ds.map_model(ours, count, technology=WIDE, ranges=ranges, **options)


def worst(a: Any, b: Any) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize("case", CASES)
def test_at_rest_a_circuit_has_the_frameworks_logits(case: str, tmp_path: Path) -> None:
    theirs, ours, tokens, circuit = built(tmp_path, case)
    inputs = {"embed": ours.embed(tokens)}
    run = ds.operating_point(circuit, inputs)
    assert run.saturated == {}
    found = run.logical("logits")[0]
    limit = 1e-4 if case == "opt" else 1e-9  # a rectifier's knee
    values = forward(ours, tokens)
    for name, value in list(values.items())[1:]:
        assert worst(run.logical(name)[0].reshape(value.shape), value) <= limit, name
    assert worst(found, exact_logits(theirs, tokens)) <= limit
    single = ds.operating_point(circuit, inputs, precision="float32").logical("logits")[0]
    assert worst(single, found) <= 1e-4


def test_grouped_heads_with_taylor_attention(tmp_path: Path) -> None:
    _, ours, tokens, circuit = built(tmp_path, "grouped", 6, quiet=0.1, softmax="taylor", order=4)
    found = ds.operating_point(circuit, {"embed": ours.embed(tokens)}).logical("logits")[0]
    assert worst(found, forward(ours, tokens, softmax="taylor", order=4)["logits"]) <= 1e-9


def test_gates_by_a_series_reach_further_than_what_they_gate(tmp_path: Path) -> None:
    """a + 2a⁵/15 passes 1: silu of a series is bounded by its own range, not by its gate's."""
    _, ours, tokens, circuit = built(tmp_path, "grouped", 6, quiet=0.5, activation="taylor")
    run = ds.operating_point(circuit, {"embed": ours.embed(tokens)})
    assert run.saturated == {}
    assert worst(run.logical("logits")[0], forward(ours, tokens, activation="taylor")["logits"]) <= 1e-9


@pytest.mark.parametrize(("case", "activation"), [("opt", "taylor"), ("grouped", "paper")])
def test_activations_that_a_family_does_not_have(case: str, activation: str, tmp_path: Path) -> None:
    with pytest.raises(ds.Error, match=f"activation '{activation}' is no way to build"):
        built(tmp_path, case, 4, activation=activation)


@pytest.mark.parametrize("case", ["opt", "grouped"])
def test_a_circuit_relaxes_to_where_it_rests(case: str, tmp_path: Path) -> None:
    _, ours, tokens, circuit = built(tmp_path, case, 6)
    inputs = {"embed": ours.embed(tokens)}
    run = ds.transient(circuit, inputs, settle_bits=10)
    assert run.settled
    rest = ds.operating_point(circuit, inputs).logical("logits")[0]
    assert worst(run.logical("logits")[0], rest) <= 2e-3


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("select", ["layers.0.attn.q_rope", "layers.0.attn", "layers.1.mlp"])
def test_parts_of_llama_in_ngspice(select: str, tmp_path: Path) -> None:
    _, ours, tokens, circuit = built(tmp_path, "grouped", 4)
    found = ds.crosscheck(circuit, select=select, inputs={"embed": ours.embed(tokens)}, energy=True, engine="batch")
    assert found.passed, found.by_array
    assert found.nrmse <= 1e-4 and found.energy_ratio == pytest.approx(1, abs=1e-3)


def test_every_part_of_a_fabricated_chip_is_drawn(tmp_path: Path) -> None:
    _, ours, tokens, circuit = built(tmp_path, "grouped", 4)
    inputs = {"embed": ours.embed(tokens)}
    ideal = ds.operating_point(circuit, inputs).logical("logits")[0]
    chip = ds.fabricate(circuit, seed=1, mismatch=1e-3, vt_mismatch=1e-4, offset=1e-4)
    off = worst(ds.operating_point(chip, inputs).logical("logits")[0], ideal)
    assert 1e-5 < off < 0.2
