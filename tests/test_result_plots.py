"""Every result draws itself: units on axes, the numbers its own."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from device_cards import resistor
from ecl_layers import examples, layer
from runs import chain
from small_models import PROMPT, write_small
from test_results import drawn

import dsmachine as ds

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTIONS = {  # what goes in, or is taken from one call to the next: nothing was measured
    "Plan", "Model", "NodeArray", "Chip", "Technology", "AdjointCircuit", "EclLayer", "Machine", "Netlist",
    "ModelCard", "Transistors", "Support", "Channels",
}  # fmt: skip
INPUTS = {"u": [1.0, -1.0, 0.5, 0.2]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("plots") / "small"))


def test_every_result_has_a_picture() -> None:
    page = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
    for name in re.findall(r"^::: (\S+)", page, re.M):
        module, _, kind = name.rpartition(".")
        assert hasattr(getattr(importlib.import_module(module), kind), "plot") != (kind in DESCRIPTIONS), name


def test_noise_by_array() -> None:
    found = ds.noise(chain(), INPUTS, frequencies=8, samples=8)
    (ax,) = drawn(found.plot()).axes
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [100 * found.rms[name] for name in found.rms] == pytest.approx([float(m.get_xdata()[0]) for m in marks])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(found.rms)
    assert "% of full scale" in ax.get_xlabel() and found.worst in ax.get_title(loc="left")


def test_noise_by_cell() -> None:
    found = ds.noise_shares(chain(), INPUTS, np.array([1.0, 0, 0, 0]), frequencies=8)
    left, right = drawn(found.plot()).axes
    assert [bar.get_width() for bar in left.patches][::-1] == pytest.approx(
        [100 * s for s in found.by("kind").values()]
    )
    assert sum(bar.get_width() for bar in right.patches) == pytest.approx(100)
    assert "%" in left.get_xlabel()


def test_gradients_by_term(small: str) -> None:
    model = ds.load_model(small)
    tokens = model.encode(PROMPT)
    circuit = ds.map_model(model, len(tokens))
    targets = ds.next_token_targets(tokens, model.config.vocabulary)
    found = ds.gradients(circuit, {"embed": model.embed(tokens)}, targets)
    (ax,) = drawn(found.plot()).axes
    row = list(found.terms).index("h.0.mlp.c_fc")
    (marks,) = (line for line in ax.lines if line.get_marker() == "o")
    x, y = (np.asarray(data) for data in marks.get_data())
    assert x[y == row] == pytest.approx(np.sqrt(np.mean(found.terms["h.0.mlp.c_fc"] ** 2)))
    assert "nat" in ax.get_xlabel() and ax.get_title(loc="left").endswith(", 1 sample")


def test_a_layer_that_learns() -> None:
    made = layer()
    x, t = examples(made, 5)
    found = ds.ecl_steps(made, {"x": x, "y": t}, 1e-7)
    (ax,) = drawn(found.plot()).axes
    assert list(ax.lines[0].get_ydata()) == list(found.loss)
    assert "loss" in ax.get_ylabel() and ax.get_xlabel() == "presentation"


def test_memory_by_part() -> None:
    found = ds.memory_needed(chain())
    (ax,) = drawn(found.plot()).axes
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(found.total / 1e6)
    assert "MB" in ax.get_xlabel()


def test_an_anneal(small: str) -> None:
    found = ds.anneal(small, PROMPT, timer_prompts=0)
    (ax,) = drawn(found.plot()).axes
    last = ax.lines[-1]
    np.testing.assert_array_equal(last.get_xdata(), found.reference[-1])
    np.testing.assert_array_equal(last.get_ydata(), found.logits[-1])
    assert "nat" in ax.get_xlabel() and "nat" in ax.get_ylabel()


def test_a_text(small: str) -> None:
    found = ds.generate(small, PROMPT, max_new_tokens=2)
    settled, drawn_, off = drawn(found.plot()).axes
    assert np.asarray(settled.lines[0].get_ydata()) == pytest.approx([t.settling_time * 1e9 for t in found.tokens])
    assert list(off.lines[0].get_ydata()) == [t.logit_error for t in found.tokens]
    assert "(ns)" in settled.get_ylabel() and "J)" in drawn_.get_ylabel() and off.get_xlabel() == "token"


def test_a_calibration(small: str) -> None:
    found = ds.calibration_report(small, 4, windows=2, noise=False, transient=False)
    left, right = drawn(found.plot()).axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([100 * use.worst for use in found.by_kind()])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([use.lost_bits for use in found.by_kind()])
    assert "% of full scale" in left.get_xlabel()


def test_a_placement() -> None:
    found = ds.place("gpt2", "ds-tpu", tokens=16, chips=1000)
    left, right = drawn(found.plot()).axes
    assert len(left.patches) == 2 + len(found.reprogramming) == 3
    assert [bar.get_width() for bar in right.patches][-1] == found.programming.joules
    assert "(s)" in left.get_xlabel() and "(J)" in right.get_xlabel()


def test_a_sweep(small: str, tmp_path: Path) -> None:
    found = ds.sweep(small, {"mismatch": [0.1, 0.2]}, chips=2, windows=1, workers=1, cache=tmp_path / "cache")
    assert drawn(found.plot()).axes[0].get_ylabel() == drawn(found.plot("perplexity")).axes[0].get_ylabel() != ""


def test_a_record_and_a_device_card() -> None:
    seen, errors = ds.Probe(["a.0"]), ds.ErrorByLayer()
    ds.transient(chain(), INPUTS, observers=[seen, errors])
    trace = seen.traces()["a.0"]
    (ax,) = drawn(trace.plot()).axes
    assert ax.get_ylabel() == "voltage (mV)" and ax.get_xlabel() == "time (ns)"
    assert float(np.max(ax.lines[0].get_ydata())) == pytest.approx(1e3 * trace.values.max())
    assert drawn(errors.traces()["a.1"].plot()).axes[0].get_ylabel() == "share of full scale"
    assert len(drawn(resistor().plot()).axes) == 2
