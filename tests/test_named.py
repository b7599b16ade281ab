"""Names that a mapping lacks are said in one line, with what was meant; it is a dict and a KeyError all the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.named import Named


@dataclass
class Found:
    """One of everything that has things by name."""

    model: Any
    circuit: ds.Circuit
    run: Any
    loaded: Any
    probe: ds.Probe
    gradients: Any
    noise: Any


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("named")
    model = ds.load_model(write_small(Path(folder) / "small"))
    circuit = ds.map_model(model, 4)
    tokens = model.encode(PROMPT)
    inputs, probe = {"embed": model.embed(tokens)}, ds.Probe(["logits"])
    run = ds.transient(circuit, inputs, observers=[probe])
    run.save(folder / "run.h5")
    gradients = ds.gradients(circuit, inputs, ds.next_token_targets(tokens, model.config.vocabulary))
    return Found(model, circuit, run, ds.load_run(folder / "run.h5"), probe, gradients, ds.noise(circuit, inputs))


LOOKUPS: list[tuple[Callable[[Found], Any], str]] = [
    (lambda f: f.circuit.arrays["logit"], "'logit' is no array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.circuit.units("logit"), "'logit' is no array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.circuit.clamped("logit"), "'logit' is no array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.circuit.terms["h.0.mlp.fc"], "is no term of circuit 'small': did you mean 'h.0.mlp.c_fc'"),
    (lambda f: f.circuit.arrays[3], "3 is no array of circuit 'small': use "),
    (lambda f: f.run.outputs["logit"], "'logit' is no free array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.run.logical("logit"), "'logit' is no free array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.run.outputs["embed"], "'embed' is no free array of circuit 'small': use "),
    (lambda f: f.run.by_array["logit"], "is no array with a settling time in this run of 'small': did you mean"),
    (lambda f: f.run.noise_rms["logits"], "no array whose noise was watched in this run of 'small': there is none"),
    (lambda f: f.run.saturated["logits"], "'logits' is no array with saturated nodes in this run of 'small'"),
    (lambda f: f.run.observed["probe"], "'probe' is no observer in this run of 'small': did you mean 'Probe'?"),
    (lambda f: f.loaded.outputs["logit"], "'logit' is no free array in this run of 'small': did you mean 'logits'?"),
    (lambda f: f.loaded.by_array["logit"], "in this run of 'small': did you mean 'logits'?"),
    (lambda f: f.loaded.observed["Probe"].volts("logit"), "is no trace of Probe in this file: did you mean 'logits'?"),
    (lambda f: f.probe.volts("logit"), "'logit' is no array of this probe: did you mean 'logits'?"),
    (lambda f: f.probe.times("logit"), "'logit' is no array of this probe: did you mean 'logits'?"),
    (lambda f: f.gradients.terms["h.0.mlp.fc"], "is no term of circuit 'small' with a gradient: did you mean"),
    (lambda f: f.gradients.seen["logit"], "is no array of the adjoint of 'small': "),
    (lambda f: f.noise.rms["logit"], "'logit' is no free array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.noise.outputs["logit"], "'logit' is no free array of circuit 'small': did you mean 'logits'?"),
    (lambda f: f.model.tensors["wtf.weight"], "did you mean 'wte.weight'?"),
]  # fmt: skip


@pytest.mark.parametrize(("look", "line"), LOOKUPS)
def test_a_name_that_is_not_there(look: Callable[[Found], Any], line: str, found: Found) -> None:
    for kind in (ds.Error, KeyError):
        with pytest.raises(kind) as caught:
            look(found)
        said = str(caught.value)
        assert line in said and "\n" not in said and len(said) < 400


def test_they_are_mappings_all_the_same(found: Found) -> None:
    for things in (found.circuit.arrays, found.circuit.terms, found.run.by_array, found.run.outputs):
        name = next(iter(things))
        assert name in things and "x" not in things and things.get("x") is None and things[name] is not None
    assert 3 not in found.run.outputs and "x" not in found.gradients.terms


def test_copies_say_it_too(found: Found) -> None:
    named = found.circuit.arrays
    for other in (copy.copy(named), copy.deepcopy(named), pickle.loads(pickle.dumps(Named({"a": 1}, "a")))):
        with pytest.raises(KeyError, match="'x' is no a"):
            other["x"]
    replaced = found.circuit.with_terms(())
    replaced.arrays.pop("logits")
    assert "logits" in found.circuit.arrays and isinstance(replaced.arrays, Named)


def test_a_circuit_says_it_while_it_is_built() -> None:
    ring = ds.Circuit("ring")
    with pytest.raises(ds.Error, match="'s' is no array of circuit 'ring': there is none"):
        ring.arrays["s"]
    ring.nodes("s", (3,))
    ring.couple("J", "s", "s", np.full((3, 3), 0.1))
    with pytest.raises(ds.Error, match="'t' is no array of circuit 'ring': use s"):
        ring.units("t")
