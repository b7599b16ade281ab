"""Tiles and blocks: what a selection's text means, and that a part behaves as it did in the whole."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PROMPT, write_small

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.waveforms import PiecewiseLinear
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.run import transient
from dsmachine.netlists.bench import RECORD_ERROR, choose_knots, set_up
from dsmachine.netlists.selection import Block, Tile, parse_selection, part_of

Mapped = tuple[Circuit, dict[str, np.ndarray]]  # type: ignore[type-arg]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    model = load_model(str(write_small(tmp_path_factory.mktemp("model"))))
    tokens = model.encode(PROMPT)
    return map_model(model, len(tokens)), {"embed": model.embed(tokens)}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("h.0.mlp.c_fc[0:8,0:4]", Tile("h.0.mlp.c_fc", (0, 8), (0, 4))),
        ("h.0.mlp.c_fc[ 8 : 16 , 2:3 ]", Tile("h.0.mlp.c_fc", (8, 16), (2, 3))),
        ("h.0.mlp.c_fc[:,:]", Tile("h.0.mlp.c_fc", (0, 32), (0, 8))),
        ("h.0", Block("h.0")),
        ("h.0.attn", Block("h.0.attn")),
        ("head", Block("head")),
        ("wte", Block("wte")),
    ],
)
def test_selections(mapped: Mapped, text: str, meant: Tile | Block) -> None:
    found = parse_selection(text, mapped[0])
    assert found == meant
    assert parse_selection(str(found), mapped[0]) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h.0.mlp.c_fcc[0:8,0:8]", "no term 'h.0.mlp.c_fcc': did you mean 'h.0.mlp.c_fc'"),
        ("h.0.mlp.c_fc[0:8]", "is not understood: write TERM[rows,columns]"),
        ("h.0.mlp.c_fc[0:8,0:8", "is not understood"),
        ("h.0.mlp.c_fc[-1:8,0:8]", "is not understood"),
        ("h.0.mlp.c_fc[0:33,0:8]", "rows 0:33 are outside 0:32"),
        ("h.0.mlp.c_fc[0:8,8:9]", "columns 8:9 are outside 0:8"),
        ("h.0.mlp.c_fc[4:4,0:8]", "rows 4:4 are outside 0:32"),
        ("h.0.mlp.c_fc.bias[0:8,0:8]", "reads no nodes"),
        ("h.7", "no term of 'model0' is under 'h.7': did you mean"),
        ("", "is under ''"),
        ("h.", "is under 'h.'"),
    ],
)
def test_selections_that_mean_nothing_say_so(mapped: Mapped, text: str, said: str) -> None:
    with pytest.raises(Error) as caught:
        parse_selection(text, mapped[0])
    assert said.replace("model0", mapped[0].name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", [-1, 4, 99])
def test_position_out_of_range(mapped: Mapped, position: int) -> None:
    with pytest.raises(Error, match="is outside 0 … 3"):
        part_of(mapped[0], Tile("h.0.mlp.c_fc", (0, 8), (0, 4)), position)


def test_a_block_has_no_position(mapped: Mapped) -> None:
    with pytest.raises(Error, match="a block has all positions"):
        part_of(mapped[0], Block("h.0"), 1)


def test_tile_is_its_couplings_with_bias_feedback_and_rail(mapped: Mapped) -> None:
    circuit, inputs = mapped
    bench = set_up(circuit, Tile("h.0.mlp.c_fc", (2, 5), (1, 4)), inputs, position=1)
    part = bench.circuit
    assert set(part.terms) == {"h.0.mlp.c_fc", "h.0.mlp.c_fc.bias"}
    assert list(part.arrays) == ["h.0.ln_2.norm", "h.0.mlp.pre"]
    assert [node.count for node in part.arrays.values()] == [3, 3]
    run = transient(part, bench.inputs, duration=bench.duration, tolerance=1e-6, precision="float64")
    wave = bench.inputs["h.0.ln_2.norm"]
    term, bias = circuit.terms["h.0.mlp.c_fc"], circuit.terms["h.0.mlp.c_fc.bias"]
    settled = term.weight[2:5, 1:4] @ wave.values[-1, 1, 1:4] + bias.value[2:5]  # type: ignore[attr-defined]
    np.testing.assert_allclose(run.logical("h.0.mlp.pre")[0, 1, 2:5], settled, atol=0.01)
    assert np.count_nonzero(run.logical("h.0.mlp.pre")) == 3


def test_block_moves_as_it_does_in_the_machine(mapped: Mapped) -> None:
    """From the recorded residual stream on, the MLP's waveforms are those of the whole circuit."""
    circuit, inputs = mapped
    bench = set_up(circuit, Block("h.0.mlp"), inputs)
    assert {node.name for node in bench.circuit.inputs()} == {"h.0.ln_2.norm", "h.0.resid_mid"}
    times = np.linspace(0.01, 1, 50) * bench.duration
    volts = []
    for machine, values in ((circuit, inputs), (bench.circuit, bench.inputs)):
        probe = Probe(["h.0.mlp.act", "h.0.resid"], times=times)
        transient(machine, values, duration=bench.duration, tolerance=1e-6, precision="float64", observers=[probe])
        volts.append([probe.volts(name) for name in probe.index])
    for whole, part in zip(*volts, strict=True):
        assert np.abs(whole - part).max() < 10 * RECORD_ERROR


def test_knots_are_few_and_close_enough() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 3000))
    values = np.stack([1 - np.exp(-times), np.sin(times) * np.exp(-times / 3)], axis=1)
    for error in (1e-2, 1e-3, 1e-4):
        knots = choose_knots(times, values, error)
        line = PiecewiseLinear(times[knots], values[knots]).at(times)
        assert np.abs(line - values).max() <= error * (1 + 1e-9)
        assert len(knots) < 4 / np.sqrt(error)
    assert choose_knots(times, np.ones((3000, 1)), 1e-6).tolist() == [0, 2999]
