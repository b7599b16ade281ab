"""Weights that pass by, and several GPUs. Skipped, loudly, where there are not as many as a test needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import DEEP, PROMPT, write_small
from systems.system import TAU

import dsmachine as ds
from dsmachine.circuits.chip import Chip
from dsmachine.emulator import plan as plans
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.observers import Probe

Array = Any
cupy = pytest.importorskip("cupy", reason="CuPy is missing: pip install 'dsmachine[cuda13]'")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy.cuda.is_available(), reason="no GPU answers"),
]
FOUND = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
Given = tuple[Chip, dict[str, Array]]


def gpus(count: int) -> list[str]:
    """Names of so many GPUs."""
    if count > FOUND:
        pytest.skip(f"{count} GPUs are needed, {FOUND} are here")
    return [f"cupy:{number}" for number in range(count)]


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """A chip of four layers and a head, windows of equal length wherever its weights are."""
    monkeypatch.setattr(Backend, "longer", 0)
    monkeypatch.setattr(plans, "STREAMED", 1)
    model = ds.load_model(write_small(tmp_path / "deep", config=DEEP))
    chip = ds.fabricate(ds.map_model(model, 4), seed=0, mismatch=0.01, offset=0.001)
    return chip, {"embed": model.embed(model.encode(PROMPT))}


def same(ours: ds.Run, theirs: ds.Run) -> None:
    """The same kernels on the same numbers: sums by atomics may differ in their last bits, polynomials do not."""
    assert theirs.settling_time == pytest.approx(ours.settling_time, rel=1e-6)
    assert theirs.saturated == ours.saturated
    for name, volts in ours.outputs.items():
        assert theirs.outputs[name] == pytest.approx(volts, abs=1e-6 * float(abs(volts).max())), name


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32"])
def test_streamed_is_resident(chip: Given, precision: str) -> None:
    machine, inputs = chip
    stays, passes = (ds.prepare(machine, device="cupy", precision=precision, stream=stream) for stream in (False, True))
    same(ds.transient(stays, inputs), ds.transient(passes, inputs))
    same(ds.transient(passes, inputs), ds.transient(passes, inputs))
    assert passes.store
    assert passes.store.loads > 20


def test_copies_are_in_time() -> None:
    """Large blocks, so that a copy takes longer than a layer's work: nothing is read before it is there, nothing
    overwritten that is still read."""
    rng, circuit = np.random.default_rng(0), ds.Circuit("tower")
    circuit.clamp("u", (2048,))
    before = "u"
    for layer in range(7):
        name = circuit.nodes(f"s{layer}", (2048,), layer=f"layer {layer}").name
        circuit.couple(f"w{layer}", before, name, rng.normal(size=(2048, 2048)) / 2048**0.5)
        before = name
    inputs = {"u": rng.normal(size=(3, 2048)) * 0.02}
    options: dict[str, Any] = {"elements": np.linspace(0, 10 * TAU, 41)[1:], "settle_bits": 0}
    ours, theirs = (
        ds.transient(ds.prepare(circuit, device="cupy", stream=stream), inputs, **options) for stream in (False, True)
    )
    for name, volts in ours.outputs.items():
        assert theirs.outputs[name] == pytest.approx(volts, abs=1e-6 * float(abs(volts).max())), name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("count", [2, 4])
def test_several_devices_are_one(chip: Given, count: int, stream: bool) -> None:
    machine, inputs = chip
    runs, probes, joules = [], [], []
    several = ds.prepare(machine, device=gpus(count), stream=stream)
    alone = ds.prepare(machine, device="cupy:0", stream=stream)
    for plan in (replace(alone, first=several.first, growth=several.growth), several):
        probe, meter = Probe(["h.0.mlp.act", "logits"]), ds.EnergyMeter()
        runs.append(ds.transient(plan, inputs, observers=[probe, meter]))
        probes.append(probe)
        joules.append(meter.report().total)
    same(*runs)
    for name in probes[0].index:
        ours = probes[0].volts(name)
        assert probes[1].volts(name) == pytest.approx(ours, abs=1e-6 * float(abs(ours).max()))
    assert joules[1] == pytest.approx(joules[0], rel=1e-6)
    same(runs[0], ds.transient(plan, inputs))  # without observers nothing but settling is looked at


def test_the_last_device_alone(chip: Given) -> None:
    """Everything of a run stays on the device that it was prepared for."""
    machine, inputs = chip
    last = gpus(max(2, FOUND))[-1]
    errors, meter = ds.ErrorByLayer(), ds.EnergyMeter()
    ours, theirs = (
        ds.transient(machine, inputs, device=device, observers=[errors, meter]) for device in ("cupy:0", last)
    )
    same(ours, theirs)
    assert errors.by_layer()
    plan = ds.prepare(machine, device=last)
    for _ in range(3):
        replayed = ds.transient(plan, inputs)
    assert replayed.statistics["replayed"]
    same(ours, replayed)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_chips_over_devices(chip: Given, count: int) -> None:
    machine, inputs = chip

    def run(seed: int, device: str) -> Any:
        other = ds.fabricate(machine.circuit, seed=seed, mismatch=0.01)
        return ds.transient(other, inputs, device=device).outputs["logits"]

    found = ds.each(range(6), run, devices=gpus(count))
    for seed, logits in enumerate(found):
        alone = run(seed, "cupy:0")
        assert logits == pytest.approx(alone, abs=1e-6 * float(abs(alone).max())), seed


def test_chip_after_chip(chip: Given) -> None:
    """What stays on the device is read by the next chip's kernels, where it lies, and by nobody's after."""
    machine, inputs = chip
    plan = None
    for seed in range(3):
        other = ds.fabricate(machine.circuit, seed=seed, offset=0.01)
        plan = ds.prepare(other, device="cupy", like=plan)
        same(ds.transient(other, inputs, device="cupy"), ds.transient(plan, inputs))


@pytest.mark.parametrize("count", [1, 2])
def test_a_sweep_over_gpus_is_that_of_the_processor(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process for each GPU, noise in it: perplexities to rounding; times, and joules until then, as well as elements
    tell them, which are chosen for longer windows there."""
    devices = gpus(count)
    monkeypatch.setattr("dsmachine.sweeps.workers._gpus", lambda: count)
    model = str(write_small(tmp_path / "small"))
    vary, settings = {"mismatch": [0.05, 0.1], "noise": [0, 0.01]}, {"positions": 4, "precision": "float64"}
    found = {
        device: ds.sweep(
            model, vary, chips=2, metrics=["perplexity", "settling_time", "energy"], settings=settings, windows=2,
            device=device, workers=None if device == "cupy" else 1, cache=tmp_path / device,
        )
        for device in ("cupy", "numpy")
    }  # fmt: skip
    assert devices and found["cupy"].computed == found["numpy"].computed
    for name, values in found["numpy"].values.items():
        apart = 1e-6 if name == "perplexity" else 0.02
        np.testing.assert_allclose(found["cupy"].of(name), values, rtol=apart, err_msg=name)


def test_a_gpu_that_is_not_here() -> None:
    with pytest.raises(ds.Error, match="counted from cupy:0"):
        _ = Backend(f"cupy:{FOUND}").xp
