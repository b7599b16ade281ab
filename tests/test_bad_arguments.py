"""Whatever is wrong with an argument of the Python API is one line that names it, its value and the fix."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.waveforms import PiecewiseLinear, Steps

Build = Callable[[ds.Circuit], Any]


def rc() -> Any:
    circuit = ds.Circuit("rc")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.couple("w", "u", "v", np.array([[0.5, 0.2], [0.1, -0.4]]))
    return circuit


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(ds.Error) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line and len(line) < 250
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": -3}, ("points is -3", "2 … 20")),
        ({"points": 0}, ("points is 0",)),
        ({"points": 2.5}, ("points is 2.5", "whole number")),
        ({"points": True}, ("points is True",)),
        ({"elements": [3e-9, 1e-9]}, ("elements is 1e-09 at [1]", "ascend")),
        ({"elements": [0.0, 1e-9]}, ("elements is 0.0 at [0]", "ascend from 0")),
        ({"elements": []}, ("elements has shape (0,)", "at least one")),
        ({"elements": [1e-9, math.nan]}, ("elements is NaN or infinite at [1]",)),
        ({"elements": "x"}, ("elements is 'x'",)),
        ({"duration": math.inf}, ("duration is inf", "seconds")),
        ({"duration": math.nan}, ("duration is nan",)),
        ({"duration": 100}, ("duration is 100 s, 6.6e+10 time constants", "give seconds, such as 100e-9")),
        ({"duration": 0.02, "settle_bits": 0}, ("duration is 0.02 s, 1.3e+07 time constants", "such as 2e-07")),
        ({"noise": 0.01, "read_window": 30.0}, ("read_window is 30 s, 2e+10 time constants", "such as 30e-9")),
        ({"duration": "1n"}, ("duration is '1n'",)),
        ({"tolerance": "x"}, ("tolerance is 'x'", "share of full scale")),
        ({"tolerance": math.nan}, ("tolerance is nan",)),
        ({"tolerance": 0.6}, ("tolerance is 0.6",)),
        ({"settle_bits": "8"}, ("settle_bits is '8': give a number, not text; ", "above 0, up to 40")),
        ({"points": "6"}, ("points is '6': give a number, not text; use a whole number, 2 … 20",)),
        ({"settle_bits": 41}, ("settle_bits is 41",)),
        ({"noise": 0.01, "samples": 2.5}, ("samples is 2.5", "whole number")),
        ({"noise": 0.01, "samples": 0}, ("samples is 0",)),
        ({"noise": None}, ("noise None", "'off'")),
        ({"noise": 0.01, "noise_seed": 1.5}, ("noise_seed is 1.5", "whole number")),
        ({"initial": "random", "initial_seed": -1}, ("initial_seed is -1", "whole number")),
        ({"initial": "warm"}, ("'warm'", "'zero', 'random'")),
        ({"initial": 3}, ("initial state is 3",)),
        ({"observers": ds.EnergyMeter()}, ("observers are EnergyMeter(cmos45 TT, nothing weighed)", "give a list")),
        ({"observers": ["meter"]}, ("observer 'meter' has no begin, element and window", "EnergyMeter()")),
        ({"observers": [ds.EnergyMeter]}, ("observer EnergyMeter is a class", "ds.EnergyMeter()")),
        ({"initial": {"x": 0.0}}, ("initial value 'x'", "use v")),
        ({"initial": {"v": np.zeros((3, 2))}, "inputs": {"u": np.zeros((2, 2))}}, ("batch lengths [2, 3]",)),
        ({"inputs": [0.1, 0.2]}, ("inputs are [0.1, 0.2]", "mapping")),
        ({"inputs": {"u": ["a", "b"]}}, ("input 'u' is", "no number")),
        ({"inputs": {"u": [0.1, math.nan]}}, ("input 'u' is NaN or infinite at [0, 1]",)),
        ({"precision": "float16"}, ("precision 'float16'", "float32, float64")),
        ({"device": "tpu"}, ("device 'tpu'", "numpy or cupy")),
        ({"precision": "tf32"}, ("precision 'tf32'", "float32")),
        ({"observers": [ds.Probe(["vv"])]}, ("probe of 'vv'", "did you mean 'v'?")),
    ],
    ids=", ".join,
)
def test_transient(options: dict[str, Any], words: tuple[str, ...]) -> None:
    given = {"inputs": {"u": [0.1, 0.2]}} | options
    refused(lambda: ds.transient(rc(), **given), *words)


def test_a_long_run_is_no_mistake() -> None:
    """A hundred thousand time constants of one RC; ten thousand of one of 1 MΩ and 1 mF, which takes 1e7 s."""
    run = ds.transient(rc(), {"u": [0.1, 0.2]}, duration=1.5e-4)
    np.testing.assert_allclose(run.logical("v")[0], [0.09, -0.07], rtol=1e-4)
    slow = ds.Circuit("slow")
    slow.clamp("u", (1,))
    slow.nodes("v", (1,), conductance=1e-6, capacitance=1e-3)
    slow.couple("w", "u", "v", 0.5)
    assert ds.transient(slow, {"u": [0.2]}, duration=1e7).logical("v") == pytest.approx(0.1)
    refused(lambda: ds.transient(slow, {"u": [0.2]}, duration=1e12), "1e+09 time constants", "seconds, such as 1000")


@pytest.mark.parametrize("analysis", [ds.transient, ds.operating_point])
def test_what_is_no_machine(analysis: Callable[..., Any]) -> None:
    refused(lambda: analysis("tiny-shakespeare"), "'tiny-shakespeare' is no circuit", "map_model")
    refused(lambda: analysis(ds.Circuit("nothing")), "'nothing' has no free nodes", "circuit.nodes")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (-1,)}, ("shape", "(-1,)", "whole numbers")),
        ({"shape": (2.0,)}, ("shape", "(2.0,)")),
        ({"shape": 3}, ("shape", "is 3", "tuple")),
        ({"capacitance": 0.0}, ("capacitance of array 'x' is 0.0", "above 0")),
        ({"capacitance": -1e-15}, ("capacitance",)),
        ({"unit": 0}, ("unit", "above 0")),
        ({"unit": math.nan}, ("unit", "NaN")),
        ({"unit": np.ones(3)}, ("unit", "shape (3,)", "(2,)")),
        ({"unit": "1 V"}, ("unit", "'1 V'", "no number")),
        ({"conductance": 0.0}, ("conductance", "siemens")),
        ({"conductance": math.inf}, ("conductance", "inf")),
        ({"full_scale": -1}, ("full_scale", "above 0")),
        ({"rail": 0.0}, ("rail", "None for the ideal node")),
        ({"input_resistance": -1.0}, ("input_resistance", "-1.0")),
        ({"offset": math.nan}, ("offset", "NaN")),
        ({"ratio": np.array([1.0, np.inf])}, ("ratio", "[1]")),
        ({"exists": np.ones(3, bool)}, ("exists", "(3,)", "(2,)")),
    ],
    ids=str,
)
def test_nodes(options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: rc().nodes("x", options.pop("shape", (2,)), **options), "array 'x'", *words)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda c: c.couple("k", "u", "v", np.array([[1.0, math.nan], [0, 0]])), ("weight of term 'k'", "[0, 1]")),
        (lambda c: c.couple("k", "u", "v", math.inf), ("weight of term 'k'", "infinite")),
        (lambda c: c.couple("k", "u", "v", "1"), ("weight of term 'k' is '1', which is no number",)),
        (lambda c: c.couple("k", "u", "v", [["a", "b"]]), ("weight of term 'k'", "no number")),
        (lambda c: c.nodes(5, (2,)), ("name of an array is 5", "text")),
        (lambda c: ds.Circuit(5), ("name of a circuit is 5", "text")),  # type: ignore[arg-type]
        (lambda c: ds.Circuit(""), ("name of a circuit is ''", "at least one character")),
        (lambda c: c.clamp("", (2,)), ("name of an array is ''", "at least one character")),
        (lambda c: c.couple("", "u", "v", 1.0), ("name of a term is ''", "at least one character")),
        (lambda c: c.couple("k", "u", "v", np.ones((2, 3))), ("term 'k' does not fit 'v'", "3 columns", "2 along")),
        (lambda c: c.couple("k", "u", "v", np.ones((3, 2))), ("'v' of shape (2,): it drives (3,)",)),
        (lambda c: c.multiply("k", "u", "u", "v", "i,i->i", math.nan), ("gain of term 'k'",)),
        (lambda c: c.multiply("k", "u", "u", "x", "i,i->i"), ("term 'k'", "'x'", "add it first")),
        (lambda c: c.bias("k", "v", math.nan), ("value of term 'k'",)),
        (lambda c: c.bias("k", "v", "high"), ("value of term 'k'", "'high'", "no number")),
        (lambda c: c.tanh("k", "u", "v", gain=math.inf), ("gain of term 'k'",)),
        (lambda c: c.rectify("k", "u", "v", gain=math.nan), ("gain of term 'k'",)),
        (lambda c: c.couple("k", "v", "u", 1.0), ("'u'", "clamped")),
        (lambda c: ds.Circuit("cold", temperature=0.0), ("temperature is 0.0", "kelvin")),
    ],
)
def test_terms(build: Build, words: tuple[str, ...]) -> None:
    circuit = rc()
    refused(lambda: build(circuit), *words)
    assert list(circuit.terms) == ["w"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1.5}, ("chip seed is 1.5", "whole number")),
        ({"seed": -1}, ("chip seed is -1",)),
        ({"seed": 2**63}, ("chip seed is 9223372036854775808",)),
        ({"mismatch": "2 %"}, ("mismatch is '2 %'", "0.02 means 2 %")),
        ({"mismatch": 5}, ("mismatch is 5:", "below 1", "0.02 means 2 %")),
        ({"offset": math.nan}, ("offset is nan",)),
        ({"branch_offset": 10}, ("branch_offset is 10", "volts", "10 mV")),
        ({"branch_offset": "10 mV"}, ("branch_offset is '10 mV'", "volts")),
        ({"branch_offset": -0.01}, ("branch_offset is -0.01",)),
        ({"weight_bits": 0}, ("weight_bits is 0", "2 … 24")),
        ({"weight_bits": 8.0}, ("weight_bits is 8.0", "whole number")),
        ({"weight_bits": True}, ("weight_bits is True",)),
        ({"trim": "auto-zero"}, ("trim is 'auto-zero'", "trim={'auto-zero': 0.001}")),
        ({"trim": {"auto-zero": "little"}}, ("trim auto-zero is 'little'",)),
        ({"trim": {"auto-zero": 2.0}}, ("trim auto-zero is 2.0", "below 1")),
        ({"trim": {"laser": 0.1}}, ("'laser'", "write-verify")),
        ({"circuit": "rc"}, ("a Circuit, not 'rc'",)),
    ],
    ids=str,
)
def test_fabricate(options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: ds.fabricate(options.pop("circuit", rc()), **options), *words)


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (lambda: PiecewiseLinear([0.0, 1e-9, 1e-9], np.zeros((3, 2))), ("PiecewiseLinear times", "[2]", "ascend")),
        (lambda: PiecewiseLinear([0.0], np.zeros((1, 2))), ("1 times", "2 or more")),
        (lambda: PiecewiseLinear([0.0, 1.0], np.zeros((3, 2))), ("2 times", "(3, 2)")),
        (lambda: Steps([0.0, 1e-9], [[0.0, 1.0], [math.nan, 0.0]]), ("Steps values", "[1, 0]")),
        (lambda: Steps([], []), ("Steps times", "at least one")),
    ],
)
def test_waveforms(wave: Callable[[], Any], words: tuple[str, ...]) -> None:
    refused(wave, *words)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("models") / "small")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"positions": 4.5}, ("positions is 4.5", "1 … 8, the context of small")),
        ({"positions": 9}, ("positions is 9",)),
        ({"softmax": "taylor", "order": 2.5}, ("order of the Taylor series is 2.5",)),
        ({"input_resistance": "18"}, ("input_resistance is '18'", "ohms")),
        ({"softmax_clamp": 0.0}, ("softmax_clamp is 0.0", "nats above 0")),
        ({"softmax_clamp": "wide"}, ("softmax_clamp is 'wide'", "nats")),
        ({"softmax_clamp": 40}, ("softmax_clamp is 40 nats", "reaches ±17.3", "raise supply.swing")),
        ({"softmax_gain": 0}, ("softmax_gain is 0", "ratio")),
        ({"softmax_gain": 11.0}, ("softmax_gain is 11.0", "up to 10")),
        ({"softmax": "taylor", "softmax_clamp": 11.5}, ("softmax_clamp", "'taylor'", "leave it out")),
        ({"softmax": "taylor", "softmax_gain": 1.1}, ("softmax_gain", "'taylor'", "leave it out")),
        ({"model": 3}, ("model is 3", "bundled")),
    ],
    ids=str,
)
def test_map_model(small: Path, options: dict[str, Any], words: tuple[str, ...]) -> None:
    given = {"positions": 4} | options
    refused(lambda: ds.map_model(given.pop("model", small), **given), *words)


def test_anneal(small: Path) -> None:
    refused(lambda: ds.anneal(str(small), PROMPT, timer_prompts=2.5), "timer_prompts is 2.5", "whole number")
    for name in ("dac_bits", "adc_bits", "weight_bits"):
        refused(lambda name=name: ds.anneal(str(small), PROMPT, **{name: 25}), f"{name} is 25", "2 … 24", "None")


def test_prepared_machines_have_nothing_left_to_choose() -> None:
    circuit = ds.Circuit("lag")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,))
    circuit.couple("w", "u", "v", 1.0)
    plan = ds.prepare(circuit)
    assert ds.transient(plan, {"u": [0.1]}).outputs["v"] == pytest.approx(0.1, rel=0.01)
    with pytest.raises(ds.Error, match="precision 'float64' is not what the machine was prepared for, 'float32'"):
        ds.transient(plan, {"u": [0.1]}, precision="float64")
    with pytest.raises(ds.Error, match="device 'cupy' is not what the machine was prepared for, 'numpy'"):
        ds.operating_point(plan, {"u": [0.1]}, device="cupy")
