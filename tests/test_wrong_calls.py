"""What somebody passes to a public function by mistake, a path for what it holds, another's result, is one line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import device_cards
import numpy as np
import pytest
from small_models import PROMPT, write_small

import dsmachine as ds

ANYTHING = [object(), 5, math.nan, [1, 2], {"x": 1}, np.zeros((3, 3))]


@dataclass
class Bench:
    """What calls need that are right but for one argument."""

    model: Any
    circuit: ds.Circuit
    mapped: ds.Circuit
    embedded: dict[str, Any]
    card: Any
    run: Any
    folder: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("wrong")
    model = ds.load_model(write_small(folder / "small"))
    circuit = ds.Circuit("rc", output="v")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.couple("w", "u", "v", np.array([[0.5, 0.2], [0.1, -0.4]]))
    run = ds.transient(circuit, {"u": [0.1, 0.2]})
    run.save(folder / "run.h5")
    mapped = ds.map_model(model, 4)
    embedded = {"embed": model.embed(model.encode(PROMPT))}
    return Bench(model, circuit, mapped, embedded, device_cards.square_pair(), run, folder)


def metered(bench: Bench) -> Any:
    """The account of a run."""
    meter = ds.EnergyMeter()
    ds.transient(bench.circuit, U, observers=[meter])
    return meter.report()


def line_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ds.Error) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line and len(line) < 400 and (":" in line or ";" in line), line
    return line


U = {"u": [0.1, 0.2]}
ROWS = np.zeros((1, 4, 8))
CALLS: list[tuple[Callable[[Bench], Any], tuple[str, ...]]] = [
    # a path where what it holds is expected, and the other way round
    (lambda b: ds.map_model(b.model, 2, device_card="pair.h5"), ("device_card is 'pair.h5'", "load_device")),
    (lambda b: ds.anneal(b.model, PROMPT, device_card=Path("pair.h5")), ("device_card is", "pair.h5", "load_device")),
    (lambda b: ds.transistors_of("pair.h5"), ("card is 'pair.h5'", "load_device")),
    (lambda b: ds.transistors_of(b.card, "mine.pm"), ("models is 'mine.pm'", "load_models")),
    (lambda b: ds.transistors_of(b.card, pair="pair.h5"), ("pair is 'pair.h5'", "load_device")),
    (lambda b: ds.save_device("pair.h5", "x.h5"), ("card is 'pair.h5'", "characterize")),
    (lambda b: ds.load_device(b.card), ("device card is", "path")),
    (lambda b: ds.load_run(b.run), ("run file is", "path")),
    (lambda b: ds.transient(b.circuit, {"w": 0.1}), ("input 'w' is not a clamped array of 'rc'", "use u")),
    (lambda b: ds.transient(b.mapped, {"x": 0.1}), ("input 'x' is not a clamped array of 'small'",)),
    (lambda b: ds.noise(b.circuit, U, record=["w"]), ("record names 'w', no free array of 'rc'", "use v")),
    (lambda b: ds.Checkpoint("x.h5", every=-1), ("every is -1", "seconds of wall time")),
    (lambda b: metered(b).by("parts"), ("joules by 'parts' are unknown", "'phase'")),
    (lambda b: ds.load_run(5), ("run file is 5", "path")),
    (lambda b: ds.load_sweep(b.folder / "run.h5"), ("run.h5", "not a sweep")),
    (lambda b: ds.load_device(b.folder / "run.h5"), ("run.h5",)),
    (lambda b: ds.load_models(5), ("model card is 5", "path")),
    (lambda b: ds.load_model(b.model), ("model is", "bundled")),
    (lambda b: ds.load_model("tiny-shakespeare", calibration=["text"]), ("calibration is ['text']", "path")),
    (lambda b: ds.load_technology(ds.load_technology()), ("technology is", "path")),
    (lambda b: ds.load_technology(overrides=[("node.capacitance", 1e-14)]), ("overrides are", "numbers by key")),
    (lambda b: ds.load_machine(None), ("machine is None", "path")),
    (lambda b: ds.load_machine("ds-tpu", overrides="chip.nodes=4"), ("overrides are 'chip.nodes=4'", "numbers by key")),
    (lambda b: ds.Checkpoint(5).path and ds.transient(b.circuit, U, checkpoint=ds.Checkpoint(5)), ("is 5", "path")),
    (lambda b: ds.transient(b.circuit, U, resume=b.run), ("run file is", "path")),
    (lambda b: b.run.save(5), ("output is 5", "path")),
    # tokens and text
    (lambda b: b.model.embed([9999]), ("token 9999 is outside the vocabulary", "0 to 11")),
    (lambda b: b.model.embed([-1, 2]), ("token -1 is outside", "0 to 11")),
    (lambda b: b.model.embed([0.5]), ("tokens [0.5] are no ids", "whole number")),
    (lambda b: b.model.embed("abcd"), ("tokens 'abcd' are no ids",)),
    (lambda b: b.model.embed(range(9)), ("9 tokens exceed the context", "at most 8")),
    (lambda b: b.model.encode(5), ("prompt is 5", "text")),
    (lambda b: b.model.decode(["a"]), ("token is 'a'", "use 0 to 11")),
    (lambda b: ds.anneal(b.model, 5), ("prompt is 5", "text")),
    (lambda b: ds.anneal(b.model, [1, 2]), ("prompt is [1, 2]", "text")),
    (lambda b: ds.generate(b.model, None), ("prompt is None", "text")),
    (lambda b: ds.anneal(5, PROMPT), ("model is 5", "bundled")),
    (lambda b: ds.train(None, "data.txt"), ("model is None", "bundled")),
    (lambda b: ds.train(b.model, 5), ("data 5", "path")),
    (lambda b: ds.train(b.model, "data.txt", resume=b.run), ("run file is", "path")),
    (lambda b: ds.next_token_targets([1, 2], 12.5), ("vocabulary is 12.5", "whole number")),
    # machines and what runs on them
    (lambda b: ds.operating_point(b.circuit, np.zeros(2)), ("inputs are", "mapping")),
    (lambda b: ds.transient(b.circuit, [0.1, 0.2]), ("inputs are [0.1, 0.2]", "mapping")),
    (lambda b: ds.noise(b.circuit, np.zeros(2)), ("inputs are", "mapping")),
    (lambda b: ds.noise(b.circuit, U, record="v"), ("record is 'v'", "list of arrays")),
    (lambda b: ds.transient(b.run, U), ("is no circuit", "map_model")),
    (lambda b: ds.transient(b.circuit, U, elements={"a": 1}), ("elements is", "no number")),
    (lambda b: ds.transient(b.circuit, U, device=5), ("device is 5", "numpy")),
    (lambda b: ds.each([b.circuit], lambda m, d: m, devices="numpy"), ("devices is 'numpy'", "list")),
    (lambda b: ds.each(5, lambda m, d: m), ("machines is 5", "list")),
    (lambda b: ds.transient(b.circuit, U, observers=[ds.Probe("v")]), ("nodes of a probe are 'v'", "list of arrays")),
    (lambda b: ds.Probe(["v"], times=1e-9), ("times has shape ()", "seconds")),
    (lambda b: ds.Probe(["v"], times=[0.0, math.nan]), ("times is NaN", "[1]")),
    (lambda b: ds.EnergyMeter(b.run), ("technology is", "load_technology")),
    (lambda b: ds.EnergyMeter(dac_bits="8"), ("dac_bits is '8'", "1 … 32")),
    (lambda b: ds.EnergyMeter(adc_bits=1e30), ("adc_bits is 1e+30", "1 … 32")),
    (lambda b: ds.map_model(b.model, 2, technology=b.card), ("technology is", "load_technology")),
    (lambda b: ds.map_model(b.model, 2, technology=Path("mine.toml")), ("mine.toml", "cannot be read")),
    (lambda b: ds.map_model(b.model, 2, ranges={"embed": 1.0}), ("ranges is", "calibrate")),
    (lambda b: ds.timer_time("small", b.mapped, 4), ("model is 'small'", "load_model")),
    (lambda b: ds.timer_time(b.model, b.mapped, 40), ("positions is 40", "1 … 8")),
    (lambda b: ds.place("gpt2", None), ("machine is None", "load_machine")),
    (lambda b: ds.place(b.model), ("model is", "bundled")),
    # netlists and transistors
    (lambda b: ds.write_netlist(b.circuit, inputs=[0.1, 0.2]), ("inputs are [0.1, 0.2]", "mapping")),
    (lambda b: ds.write_netlist(b.circuit, inputs=U, duration="1 ns"), ("duration is '1 ns'", "positive")),
    (lambda b: ds.write_netlist(b.circuit, inputs=U, options="reltol"), ("options are 'reltol'", "mapping")),
    (lambda b: ds.write_netlist(b.circuit, inputs=U, select=5), ("select is 5", "TERM[rows,columns]")),
    (lambda b: ds.anneal(b.model, PROMPT, noise=[0.1]), ("noise [0.1] is unknown", "thermal")),
    (lambda b: ds.write_netlist(b.circuit, inputs=U, level=["device"]), ("level ['device'] is unknown",)),
    (lambda b: ds.crosscheck(b.circuit, inputs=U, engine=["batch"]), ("engine ['batch'] is unknown", "'pyspice'")),
    (lambda b: ds.crosscheck(b.circuit, inputs=U, engine="batch", timeout=math.nan), ("timeout is nan", "seconds")),
    (lambda b: ds.measure_support(b.card, "A"), ("transistors is", "transistors_of")),
    (lambda b: ds.measure_channels("pair.h5"), ("transistors is 'pair.h5'", "transistors_of")),
    (lambda b: ds.measure_conveyor_errors(b.card, "A"), ("transistors is", "transistors_of")),
    (lambda b: ds.measure_flicker(b.card), ("transistors is", "transistors_of")),
    (lambda b: ds.with_channels(ds.fabricate(b.circuit), None), ("circuit is", ".circuit")),
    (lambda b: ds.with_followers(ds.fabricate(b.circuit), "cmos45"), ("circuit is", ".circuit")),
    (lambda b: ds.load_models(nfet=5), ("nfet is 5", "text")),
    (lambda b: ds.hamiltonian(b.circuit, np.zeros(2)), ("volts are", "mapping")),
    (lambda b: ds.sweep(b.model, {"mismatch": [0.1]}, metrics=5), ("metric 5 is unknown", "perplexity")),
    (lambda b: ds.sweep(b.model, {"mismatch": [0.1]}, output=5), ("output is 5", "path")),
    (lambda b: ds.sweep(b.model, {"mismatch": [0.1]}, cache=5), ("cache is 5", "path")),
    # gradients
    (lambda b: ds.gradients(b.mapped, b.embedded, None), ("targets are None", "next_token_targets")),
    (lambda b: ds.gradients(b.mapped, b.embedded, {}, loss=["quadratic"]), ("loss ['quadratic']", "cross-entropy")),
    (lambda b: ds.adjoint(ds.fabricate(b.circuit)), ("circuit is", ".circuit")),
    (lambda b: ds.adjoint_volts(b.circuit, {}, ds.load_technology()), ("made is", "adjoint")),
    (lambda b: ds.tensor_gradients(b.model, b.mapped, {}, ROWS, [0, 1, 2, 3]), ("terms have no", "ds.gradients")),
    (lambda b: ds.tensor_gradients(b.model, b.mapped, {}, ROWS[0], [0, 1, 2, 3]), ("(4, 8)", "(batch, 4, 8)")),
    (lambda b: ds.tensor_gradients(b.model, b.circuit, {}, ROWS, [0, 1, 2, 3]), ("'rc' is not mapped", "map_model")),
    (lambda b: ds.ecl_layer(b.run, "w"), ("circuit is", "Circuit")),
    (lambda b: ds.ecl_layer(b.circuit, ["w"]), ("no term ['w']",)),
    (lambda b: ds.ecl_steps(b.circuit, U, 1e-8), ("layer is", "ecl_layer")),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), CALLS, ids=[f"{k} {words[0]}" for k, (_, words) in enumerate(CALLS)])
def test_a_wrong_argument(call: Callable[[Bench], Any], words: tuple[str, ...], bench: Bench) -> None:
    line = line_of(lambda: call(bench))
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("load_technology", {}),
        ("load_model", {}),
        ("load_machine", {}),
        ("load_run", {}),
        ("load_sweep", {}),
        ("load_device", {}),
        ("map_model", {"positions": 2}),
        ("calibration_report", {"positions": 2}),
        ("prepare", {}),
        ("operating_point", {}),
        ("transient", {}),
        ("noise", {}),
        ("adjoint", {}),
        ("fabricate", {}),
        ("write_netlist", {}),
        ("transistors_of", {}),
        ("anneal", {"prompt": PROMPT}),
        ("generate", {"prompt": PROMPT}),
        ("sweep", {"vary": {"mismatch": [0.1]}}),
        ("place", {}),
        ("EnergyMeter", {}),
    ],
)
def test_anything_at_all_in_the_first_place(name: str, given: dict[str, Any]) -> None:
    function = getattr(ds, name)
    first = next(iter(inspect.signature(function).parameters))
    for value in ANYTHING:
        line_of(lambda value=value: function(**{first: value}, **given))


def test_whole_ohms_are_as_good_as_others(bench: Bench) -> None:
    """r_x of 18 is 18.0 to the meter too."""
    found = [ds.anneal(bench.model, PROMPT, timer_prompts=0, input_resistance=ohms) for ohms in (18, 18.0)]
    assert found[0].energy.total == pytest.approx(found[1].energy.total)
