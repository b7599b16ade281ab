"""Every result draws itself: units on axes, the numbers its own."""

from __future__ import annotations

import importlib
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_cards import resistor
from ecl_layers import examples, layer
from runs import chain
from small_models import PROMPT, write_small
from test_results import drawn

import dsmachine as ds
from dsmachine.circuits.cells.channel import Channel, Channels
from dsmachine.circuits.cells.conveyor_loop import ConveyorLoop
from dsmachine.circuits.cells.mos.support import Support
from dsmachine.circuits.devices.cell_card import cell_card
from dsmachine.serial import Generated, Token

ROOT = Path(__file__).resolve().parents[1]
DESCRIPTIONS = {  # what goes in, or is taken from one call to the next: nothing was measured
    "Plan", "Model", "NodeArray", "Chip", "Technology", "AdjointCircuit", "EclLayer", "Machine", "Netlist",
    "ModelCard", "Transistors",
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


def test_text_that_looks_like_mathematics_is_drawn_as_it_is() -> None:
    """Prompts and tokens may hold dollars and backslashes."""
    token = Token(1, 5, 1e-7, 2e-7, 3e-9, 0.0, 5, 6, 0.01)
    evil = r"$\frac$ and $5"
    figure = drawn(ds.plots.plot_generated(Generated(evil, "p", evil, "plain", "cmos45", 2, [token])))
    assert evil.replace("\\", "\\\\") in figure.axes[0].get_title(loc="left")


def test_a_text_has_its_prompt_marked() -> None:
    tokens = [Token(place, 5, 1e-7, 2e-7, 3e-9, 0.0, 5, 5, 0.01) for place in range(1, 7)]
    figure = drawn(Generated("small", "abcd", "eee", "plain", "cmos45", 4, tokens).plot())
    for ax in figure.axes:
        assert [4.5, 4.5] in [list(line.get_xdata()) for line in ax.lines]
        assert list(ax.lines[0].get_xdata()) == [2, 3, 4, 5, 6, 7]
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["prompt", "written"]


def test_a_blank_token_is_seen(small: str) -> None:
    found = replace(ds.anneal(small, PROMPT, timer_prompts=0), text=" ")
    (ax,) = drawn(found.plot()).axes
    assert [text.get_text() for text in ax.texts] == ["next token '␣'"]


def test_a_conveyor_over_frequency() -> None:
    """At low frequency c/(1 + r_x L) and G + R (c L/(1 + r_x L))²; far above its poles nothing comes out."""
    values: dict[str, Any] = {field.name: 0.0 for field in fields(Support)}
    loop = ConveyorLoop(2.3e-9, 0.022, 0.0, 0.0, 0.0, 5e-11, 8e-11, 3e-12, 0.5)
    values |= {"kind": "A", "loop": loop, "input_resistance": 65.0, "current_gain": 0.98}
    found = Support(**values | {"noise_conductance": 1.5e-3, "noise_resistance": 1.3e4, "conveyor_current": 8e-5})
    left, right = drawn(found.plot()).axes
    for k, load in enumerate((0.0, 1e-4, 5e-4)):
        alpha = 0.98 / (1 + 65 * load)
        gain, noise = (np.asarray(ax.lines[k].get_ydata()) for ax in (left, right))
        assert gain[0] == pytest.approx(alpha, rel=1e-3) and gain[-1] < 0.1
        assert noise[0] == pytest.approx(1e3 * (1.5e-3 + 1.3e4 * (alpha * load) ** 2), rel=1e-3)
    legend = right.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()][1] == "L = 100 µS"


def test_channels_over_current() -> None:
    """In weak inversion shot noise, 4kT·G = 2qI, its share of a tail too; the pole is G/C′."""
    shot = Channel(1.0, 1e6, 1e-15)
    found = Channels(shot, shot, p=shot, n=shot, rectifier=shot, tail=1.0, difference=1e-5, standing=1e-5)
    pair, mirrors, poles = drawn(found.plot()).axes
    volts = 1.380649e-23 * 300 / 1.602176634e-19
    assert float(pair.lines[0].get_ydata()[-1]) == pytest.approx(1 / (2 * volts), rel=1e-5)
    microamperes, microsiemens = (np.asarray(data) for data in mirrors.lines[0].get_data())
    np.testing.assert_allclose(microsiemens, microamperes / (2 * volts), rtol=1e-5)
    megahertz = np.asarray(poles.lines[0].get_ydata())
    np.testing.assert_allclose(megahertz, microsiemens * 1e-6 / (2 * np.pi * 1e-15) / 1e6, rtol=1e-5)


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
    assert drawn(errors.traces()["a.1"].plot()).axes[0].get_ylabel() == "error (share of full scale)"
    assert len(drawn(resistor().plot()).axes) == 2


def test_a_card_with_cells_draws_their_laws() -> None:
    ideal = np.linspace(-1, 1, 33)
    cell = cell_card("tanh", ideal, 0.9 * ideal + 0.02 * ideal**3, 1e-6)
    *_, ax = drawn(replace(resistor(), cells={"tanh": cell}).plot()).axes
    law, measured = ((np.asarray(data) / 100 for data in line.get_data()) for line in ax.lines[:2])
    x, off = law
    np.testing.assert_allclose(x + off, cell.value(x), atol=1e-12)
    x, off = measured
    np.testing.assert_allclose(x + off, 0.9 * x + 0.02 * x**3, atol=1e-12)
    assert "% of its tail's current" in ax.get_xlabel()
