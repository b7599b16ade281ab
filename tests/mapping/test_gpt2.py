"""Mapped circuits at their operating point against transformers and the digital reference, ideal cells, float64."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt2_folders import SHAPES, write_folder

from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.checkpoints import Model, load_model
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.config import Config
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.reference import calibrate_ranges, forward
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import operating_point, transient

WIDE = load_technology("cmos45", overrides={"supply.swing": 2.0})  # random weights need more volts than a trained model
RELU = dataclasses.replace(SHAPES[0], activation="relu")
BUNDLED = Path(__file__).parents[2] / "circuits" / "models"
LINE = "ROMEO:\nBut, soft! what light through"


def settled(circuit: Circuit, model: Model, tokens: Any) -> Any:
    run = operating_point(circuit, {"embed": model.embed(tokens)})
    assert run.saturated == {}
    return run


def random_tokens(model: Model) -> Any:
    return np.random.default_rng(3).integers(0, model.config.vocabulary, model.config.context)


def seen(model: Model, tokens: Any, **options: Any) -> Ranges:
    """Ranges calibrated on the very tokens: the models here have tokenizers of a few letters and no text."""
    text = model.decode([int(t) for t in tokens])
    return Ranges(calibrate_ranges(model, text, len(tokens), **options))


def worst(ours: Any, theirs: Any) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def transformers_logits(folder: Path, tokens: Any) -> Any:
    torch = pytest.importorskip("torch")
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    with torch.no_grad():
        return theirs(torch.tensor(np.asarray(tokens))[None]).logits[0].numpy()


@pytest.mark.parametrize("config", [*SHAPES, RELU], ids=str)
def test_random_weights_settle_on_the_framework_s_logits(config: Config, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", config)
    model = load_model(folder)
    tokens = random_tokens(model)
    circuit = map_model(model, len(tokens), technology=WIDE, ranges=seen(model, tokens))
    run = settled(circuit, model, tokens)
    assert worst(run.logical("logits")[0], transformers_logits(folder, tokens)) <= 1e-4
    assert worst(run.logical("logits")[0], forward(model, tokens)["logits"]) <= 1e-9


def test_every_activation_of_the_bundled_model_is_a_node_array() -> None:
    model = load_model("tiny-shakespeare")
    tokens = model.encode(LINE)
    circuit = map_model(model, len(tokens))
    run = settled(circuit, model, tokens)
    assert worst(run.logical("logits")[0], transformers_logits(BUNDLED / "tiny-shakespeare", tokens)) <= 1e-4
    for name, value in forward(model, tokens).items():
        if name != "embed":
            assert worst(run.logical(name)[0], value) <= 1e-9, name


def test_taylor_attention_of_the_model_trained_with_it() -> None:
    model = load_model("tiny-shakespeare-taylor3")
    tokens = model.encode(LINE)
    circuit = map_model(model, len(tokens))
    assert circuit.notes["softmax"] == "taylor 3"
    run = settled(circuit, model, tokens)
    assert worst(run.logical("logits")[0], forward(model, tokens)["logits"]) <= 1e-9


@pytest.mark.parametrize("order", [1, 2, 5])
def test_taylor_of_any_order(order: int) -> None:
    model = load_model("tiny-shakespeare-taylor3")
    tokens = model.encode(LINE)
    ranges = Ranges(calibrate_ranges(model, LINE, len(tokens), softmax="taylor", order=order))
    circuit = map_model(model, len(tokens), softmax="taylor", order=order, ranges=ranges)
    run = settled(circuit, model, tokens)
    reference = forward(model, tokens, softmax="taylor", order=order)
    assert worst(run.logical("logits")[0], reference["logits"]) <= 1e-9


@pytest.mark.parametrize("activation", ["taylor", "paper"])
def test_activation_series_follow_their_own_formula(activation: str, tmp_path: Path) -> None:
    model = load_model(write_folder(tmp_path / "model", SHAPES[0]))
    tokens = random_tokens(model)
    ranges = seen(model, tokens, activation=activation)
    circuit = map_model(model, len(tokens), technology=WIDE, activation=activation, ranges=ranges)
    run = settled(circuit, model, tokens)
    reference = forward(model, tokens, activation=activation)
    for name in ("h.0.mlp.tanh", "h.0.mlp.act", "logits"):
        assert worst(run.logical(name)[0], reference[name]) <= 1e-9


def test_balanced_pairs_conduct_more_and_compute_the_same() -> None:
    model = load_model("tiny-shakespeare")
    tokens = model.encode("Exeunt")
    one_sided, balanced = (map_model(model, len(tokens), coupling=c) for c in ("buffered", "balanced"))
    logits = [settled(c, model, tokens).logical("logits")[0] for c in (one_sided, balanced)]
    assert worst(logits[1], logits[0]) <= 1e-12
    name = "h.0.mlp.c_fc"
    sums = [np.median(c.terms[name].noise(c)({})) for c in (one_sided, balanced)]
    assert sums[1] > 2 * sums[0]


def test_relaxing_from_zero_ends_at_the_operating_point() -> None:
    model = load_model("tiny-shakespeare")
    tokens = model.encode("Exeunt")
    circuit = map_model(model, len(tokens))
    inputs = {"embed": model.embed(tokens)}
    rest = operating_point(circuit, inputs)
    run = transient(circuit, inputs, tolerance=1e-3, settle_bits=10)
    assert run.settled
    assert worst(run.logical("logits"), rest.logical("logits")) <= 2**-10


def test_couplings_stay_within_the_device() -> None:
    tech = load_technology("cmos45", overrides={"coupling.g_max": 40e-6})
    model = load_model("tiny-shakespeare")
    circuit = map_model(model, 4, technology=tech)
    peaks = [t.peaks(circuit) for t in circuit.terms.values()]
    assert max(p.max() for p in peaks if p is not None) <= 40e-6 * (1 + 1e-9)
    assert circuit.notes["lost_bits"]
    tokens = model.encode("Exeu")
    assert worst(settled(circuit, model, tokens).logical("logits")[0], forward(model, tokens)["logits"]) <= 1e-9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"positions": 0}, "positions is 0"),
        ({"positions": 129}, "positions is 129"),
        ({"positions": 4, "softmax": "hard"}, "softmax 'hard'"),
        ({"positions": 4, "activation": "swish"}, "activation 'swish'"),
        ({"positions": 4, "coupling": "loose"}, "coupling 'loose'"),
        ({"positions": 4, "tokens": "sometimes"}, "tokens 'sometimes'.*parallel or serial"),
        ({"positions": 4, "place": 2}, "place 2 would be ignored"),
        ({"positions": 1, "tokens": "serial"}, "positions is 1 of tokens 'serial'.*2 or more"),
        ({"positions": 4, "tokens": "serial", "place": 4}, "place is 4: use a whole number, 1 … 3"),
        ({"positions": 4, "technology": load_technology("cmos45", overrides={"coupling.g_max": 1e-9})}, "µS"),
    ],
)
def test_bad_options_are_one_clear_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        map_model(load_model("tiny-shakespeare"), **options)
    assert "\n" not in str(caught.value)


def test_passive_couplings_load_their_nodes_and_compute_the_same(tmp_path: Path) -> None:
    model = load_model(write_folder(tmp_path / "model", SHAPES[0]))
    tokens = random_tokens(model)
    circuit = map_model(model, len(tokens), technology=WIDE, coupling="passive", ranges=seen(model, tokens))
    node = circuit.arrays["h.0.mlp.pre"]
    load = circuit.terms["h.0.mlp.c_fc"].loading(circuit)[1] / node.conductance
    assert 0 < load.max() <= 0.9 + 1e-9
    assert np.allclose(node.ratio + load, 1)
    reference = forward(model, tokens)["logits"]
    assert worst(settled(circuit, model, tokens).logical("logits")[0], reference) <= 1e-9


def test_passive_couplings_have_no_gain() -> None:
    with pytest.raises(Error, match="plain resistors have no gain"):
        map_model("tiny-shakespeare", 8, coupling="passive")


def test_conveyor_resistance_costs_gain() -> None:
    model = load_model("tiny-shakespeare")
    tokens = model.encode("Exeunt")
    circuit = map_model(model, len(tokens), input_resistance=18.0)
    one = operating_point(circuit, {"embed": model.embed(tokens)}).logical("h.0.ln_1.mean")[0]
    ideal = forward(model, tokens)["h.0.ln_1.mean"]
    load = circuit.terms["h.0.ln_1.mean"].loading(circuit)[0]
    assert np.allclose(one, ideal / (1 + 18.0 * load), rtol=1e-9)


def test_taylor_attention_is_refused_where_its_sums_vanish() -> None:
    with pytest.raises(Error, match="Σe falls to"):
        map_model("tiny-shakespeare", 16, softmax="taylor", order=3)


def test_products_count_pairs_that_exist() -> None:
    circuit = map_model("tiny-shakespeare", 4)
    causal = 4 * 10  # heads × (1 + 2 + 3 + 4) scores
    assert circuit.terms["h.0.attn.score"].count(circuit) == causal * 16
    assert circuit.terms["h.0.attn.context"].count(circuit) == causal * 16
    assert circuit.terms["h.0.mlp.act"].count(circuit) == 4 * 256
