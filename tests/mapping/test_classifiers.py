"""Sequence classifiers: transformers' class logits by the reference and by the circuit at rest; they write no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_models import LLAMA, OPT, VOCABULARY, some_tokens, write

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.errors import Error
from dsmachine.circuits.reference import calibrate_ranges, forward
from dsmachine.circuits.technology import load_technology

WIDE = load_technology("cmos45", overrides={"supply.swing": 4.0})
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 16}
CASES = {"GPT2": GPT2, "OPT": OPT, "Llama": LLAMA}


def classifier(family: str, folder: Path, labels: int = 3) -> tuple[Any, Any]:
    """(transformers' classifier in float64, ours), random."""
    torch = pytest.importorskip("torch")
    import transformers

    config = getattr(transformers, f"{family}Config")(**CASES[family], num_labels=labels)
    torch.manual_seed(1)
    theirs = getattr(transformers, f"{family}ForSequenceClassification")(config).eval()
    return theirs.double(), ds.load_model(write(folder, theirs))


@pytest.mark.parametrize("family", CASES)
def test_at_rest_a_circuit_has_the_frameworks_classes(family: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = classifier(family, tmp_path)
    assert ours.config.labels == 3
    tokens = some_tokens(12)
    with torch.no_grad():
        want = theirs(input_ids=torch.tensor(tokens)[None]).logits[0].numpy()
    assert np.allclose(
        forward(ours, tokens)["logits"][-1], want, atol=1e-6 * np.abs(want).max()
    )  # transformers norms Llama in float32
    ranges = Ranges(calibrate_ranges(ours, ours.decode([int(t) for t in tokens]), 12))
    circuit = ds.map_model(ours, 12, technology=WIDE, ranges=ranges)
    assert circuit.arrays["logits"].shape == (12, 3)
    found = ds.operating_point(circuit, {"embed": ours.embed(tokens)}).logical("logits")[0, -1]
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


def test_a_classifier_writes_no_text(tmp_path: Path) -> None:
    _, ours = classifier("GPT2", tmp_path)
    for task in (lambda: ds.anneal(ours, "ab"), lambda: ds.generate(ours, "ab")):
        with pytest.raises(Error, match="tells 3 classes apart"):
            task()
