"""NumPy and CuPy on the same element grid, and the noise engine on both. Skipped, loudly, where no GPU answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PROMPT, write_small
from systems.known import SYSTEMS
from systems.system import TAU, System

import dsmachine as ds
from dsmachine.circuits import threefold
from dsmachine.circuits.cells.contract import contract
from dsmachine.circuits.cublas import product
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.duration import latest_end, patience
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.request import Request

Array = Any
cupy = pytest.importorskip("cupy", reason="CuPy is missing: pip install 'dsmachine[cuda13]'")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy.cuda.is_available(), reason="no GPU answers"),
]
AGREE = 1e-5  # share of full scale


def both(machine: Any, inputs: Mapping[str, Any], **options: Any) -> dict[str, float]:
    """Largest difference of each array between the two, share of full scale."""
    found = []
    circuit = getattr(machine, "circuit", machine)
    for device in ("numpy", "cupy"):
        probe = Probe([n for n, node in circuit.arrays.items() if not node.clamped])
        ds.transient(machine, inputs, observers=[probe], device=device, **options)
        found.append({n: probe.volts(n) / circuit.arrays[n].full_scale for n in probe.index})
    return {n: float(np.abs(found[0][n] - found[1][n]).max()) for n in found[0]}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_systems(system: System, precision: str) -> None:
    corners = [v.breakpoints for v in system.inputs.values() if hasattr(v, "breakpoints")]
    edges = np.unique(np.concatenate([np.linspace(0, min(system.duration, 60 * TAU), 61)[1:], *corners]))
    off = both(
        system.circuit, system.inputs, elements=edges[edges > 0], initial=system.initial, settle_bits=0,
        precision=precision,
    )  # fmt: skip
    assert max(off.values()) < (AGREE if precision == "float32" else 1e-9), off


def test_gradients_and_a_backward_anneal() -> None:
    model = ds.load_model("tiny-shakespeare")
    tokens = np.array(model.encode(model.calibration_text[:48])).reshape(3, 16)
    circuit, inputs = ds.map_model(model, 16), {"embed": model.embed(tokens)}
    targets = ds.next_token_targets(tokens, model.config.vocabulary)
    known, found = (ds.gradients(circuit, inputs, targets, device=device) for device in ("numpy", "cupy"))
    for name, value in known.terms.items():
        assert np.abs(found.terms[name] - value).max() <= 1e-9 * np.abs(value).max(), name
    off = both(known.calibrated(), known.inputs, elements=np.linspace(0, 100 * TAU, 51)[1:], precision="float64")
    assert max(off.values()) < 1e-9, off


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_bundled_model(precision: str) -> None:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode(model.calibration_text[:32])
    chip = ds.fabricate(ds.map_model(model, 32), seed=0, mismatch=0.01, offset=0.001)
    edges = np.linspace(0, 100 * TAU, 51)[1:]
    off = both(chip, {"embed": model.embed(ids)}, elements=edges, precision=precision)
    assert max(off.values()) < (AGREE if precision == "float32" else 1e-9), off


@pytest.mark.parametrize("options", [{"softmax": "taylor", "allow_unstable": True}, {"coupling": "passive"}], ids=str)
def test_other_machines(options: dict[str, Any], tmp_path: Path) -> None:
    model = ds.load_model(write_small(tmp_path / "small"))
    circuit = ds.map_model(model, 4, **options)
    edges = np.linspace(0, 60 * TAU, 61)[1:]
    off = both(circuit, {"embed": model.embed(model.encode(PROMPT))}, elements=edges, precision="float64")
    assert max(off.values()) < 1e-9, off


def test_settling() -> None:
    model = ds.load_model("tiny-shakespeare")
    ids = model.encode(model.calibration_text[:16])
    circuit, inputs = ds.map_model(model, 16), {"embed": model.embed(ids)}
    runs = [ds.transient(circuit, inputs, device=d, precision="float64", tolerance=1e-7) for d in ("numpy", "cupy")]
    assert runs[0].settling_time == pytest.approx(runs[1].settling_time, rel=1e-3)
    assert runs[0].by_array == pytest.approx(runs[1].by_array, rel=2e-2)
    assert runs[0].saturated == runs[1].saturated
    joules = []
    for device in ("numpy", "cupy"):
        meter = ds.EnergyMeter()
        run = ds.transient(circuit, inputs, device=device, observers=[meter])
        joules.append(meter.report(until=float(run.settling_time.max())).total)
    assert joules[0] == pytest.approx(joules[1], rel=1e-3)


def test_replayed_runs() -> None:
    """The same machine and elements as one launch: other inputs, the same answers as without."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, 16)
    plan = ds.prepare(circuit, device="cupy")
    prompts = [model.embed(model.encode(model.calibration_text[k : k + 16])) for k in (0, 100, 0)]
    for k, embedded in enumerate(prompts):
        run = ds.transient(plan, {"embed": embedded})
        alone = ds.transient(circuit, {"embed": embedded}, precision="float64", tolerance=1e-6)
        assert run.settling_time == pytest.approx(alone.settling_time, rel=0.01), k
        logits = alone.outputs["logits"]
        assert run.outputs["logits"] == pytest.approx(logits, abs=2e-3 * float(np.ptp(logits)))
    assert run.statistics.get("replayed")


@pytest.mark.parametrize(("precision", "within"), [("float32", 1e-5), ("float64", 1e-6)])
def test_thermal_noise(precision: str, within: float) -> None:
    """The same Philox stream, so the same run."""
    model = ds.load_model("tiny-shakespeare")
    circuit, inputs = ds.map_model(model, 8), {"embed": model.embed(model.encode("To be, o"))}
    options: dict[str, Any] = {"noise": "thermal", "noise_seed": 3, "read_window": 8 * TAU}
    off = both(circuit, inputs, precision=precision, **options)
    assert max(off.values()) < within, off


@pytest.mark.parametrize("noise", ["thermal", 0.01])
@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_noise_of_systems(system: System, noise: str | float) -> None:
    options: dict[str, Any] = {"noise": noise, "samples": 5, "read_window": 20 * TAU, "initial": system.initial}
    off = both(system.circuit, system.inputs, precision="float64", **options)
    assert max(off.values()) < 1e-9, off


@pytest.mark.parametrize("noise", ["thermal", 0.01])
def test_noise_analysis(noise: str | float) -> None:
    """Of a machine whose nodes' capacitances differ."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, 8)
    inputs = {"embed": model.embed(model.encode(model.calibration_text[:8]))}
    options: dict[str, Any] = {"noise": noise, "frequencies": 2, "samples": 4, "precision": "float64"}
    here, there = (ds.noise(circuit, inputs, device=device, **options).rms for device in ("numpy", "cupy"))
    assert there == pytest.approx(here, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(dtype: str) -> None:
    """Our way to cuBLAS, for every layout that the cells hand over."""
    rng = np.random.default_rng(0)
    a, b = (cupy.asarray(rng.normal(size=(7, 5, 12, 9)), dtype) for _ in range(2))
    w, v = (cupy.asarray(rng.normal(size=shape), dtype) for shape in ((11, 9), (9, 11)))
    pairs = [
        (a[0, 0], w.T), (a[0, 0], v), (a, w.T), (a[0, :, 0], v), (a[0, 0, :, 1:], v[1:]), (a[:1, :1, :1, 0].T, w[:1]),
        (a, b.swapaxes(2, 3)), (a[:1], b.swapaxes(2, 3)), (a[:, :, :1], b.swapaxes(2, 3)), (a[0, 0, :1], v[:, :1]),
        (a.transpose(0, 2, 1, 3), b.transpose(0, 2, 3, 1)), (w[:, :1], v[:1]),
    ]  # fmt: skip
    for k, (left, right) in enumerate(pairs):
        if left.shape[-1] == right.shape[-2]:
            found, known = product(left, right, scale=0.5).get(), 0.5 * np.matmul(left.get(), right.get())
            assert found == pytest.approx(known, rel=1e-5, abs=1e-5), k


@pytest.mark.parametrize(("length", "columns"), [(768, 3072), (3072, 768), (768, 1001)])
def test_products_under_noise(length: int, columns: int) -> None:
    """Of many rows, by matrix units: rms of the error as a share of the product's; rows begin at whole 16 bytes."""
    rng, rows = np.random.default_rng(0), 1 << 14
    a, w = (cupy.asarray(rng.normal(size=shape), "float32") for shape in ((rows, length), (columns, length)))
    known = a[:500].astype(float) @ w.T.astype(float)
    out = cupy.empty((rows, columns), "float32")
    with Backend("cupy").noisy(True):
        apart = product(a.reshape(128, 128, length), w.T)
        found = [
            product(a, w.T, out),
            apart.reshape(rows, columns),
            2 * product(a, cupy.ascontiguousarray(w.T), scale=0.5),
        ]
    assert all(step % 16 == 0 for step in apart.strides[:-1])
    for each in found:
        assert 1e-7 < float(((each[:500] - known) ** 2).mean() / (known**2).mean()) ** 0.5 < 2e-5


@pytest.mark.parametrize("length", [768, 11008])
def test_products_in_parts(length: int) -> None:
    """Of precision tf32x3: of enough rows as exact whatever their length, of few float32's own."""
    rng = np.random.default_rng(0)
    a, w = (cupy.asarray(rng.normal(size=(rows, length)), "float32") for rows in (threefold.FEW, 4096))
    known = a.astype(float) @ w.T.astype(float)
    errors = {}
    for precision in ("float32", "tf32x3", "tf32"):
        with Backend("cupy", precision).arithmetic():
            found, few = product(a, w.T), product(a[:100], w.T)
        errors[precision] = float(((found - known) ** 2).mean() / (known**2).mean()) ** 0.5
        if precision == "tf32x3":
            assert few.get() == pytest.approx(known[:100].get(), rel=1e-5, abs=1e-3)
    assert errors["tf32x3"] < min(2e-5, 0.05 * errors["tf32"]), errors
    assert errors["tf32x3"] != errors["float32"], "it is float32's own product"


def test_a_machine_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model with all of its products in parts, adaptive, recorded and replayed, settles as in float32."""
    for name in ("FEW", "COLUMNS", "LENGTH"):
        monkeypatch.setattr(threefold, name, 1)
    monkeypatch.setattr(threefold, "LONGEST", 100)
    model = ds.load_model("tiny-shakespeare")
    inputs = {"embed": model.embed(model.encode(model.calibration_text[:16]))}
    circuit, times = ds.map_model(model, 16), []
    for precision in ("float32", "tf32x3"):
        plan = ds.prepare(circuit, device="cupy", precision=precision)
        runs = [ds.transient(plan, inputs, settle_bits=11) for _ in range(3)]
        assert runs[-1].statistics.get("replayed")
        times += [run.settling_time[0] for run in runs if run.settling_time is not None]
    assert times == pytest.approx([times[0]] * 6, rel=3e-3)


def test_a_machine_that_rests_elsewhere() -> None:
    """A run that is to settle to more bits than float32 has ends when nothing has moved for long, before its latest
    end."""
    model = ds.load_model("tiny-shakespeare")
    circuit, inputs = ds.map_model(model, 16), {"embed": model.embed(model.encode(model.calibration_text[:16]))}
    plan = ds.prepare(circuit, device="cupy")
    run = ds.transient(plan, inputs, settle_bits=22)
    assert not run.settled
    assert 14 < run.statistics["rests_within_bits"] < 22
    assert patience(plan) < run.duration < 0.5 * latest_end(plan, Request())


@pytest.mark.parametrize("precision", ["float32", "tf32", "float64"])
def test_products_of_heads(precision: str) -> None:
    """Queries, keys and values side by side in a row, read where they lie; contexts written side by side."""
    rng = np.random.default_rng(0)
    backend = Backend("cupy", precision)
    row = backend.array(rng.normal(size=(3, 16, 3 * 4 * 8)))
    q, k, v = (row[..., 32 * n : 32 * (n + 1)].reshape(3, 16, 4, 8) for n in range(3))
    with backend.arithmetic():
        scores = contract("ihd,jhd->hij", q, k, 0.25)
        context = contract("hij,jhd->ihd", scores, v)
    known = 0.25 * np.einsum("zihd,zjhd->zhij", q.get(), k.get())
    within = 0.02 if precision == "tf32" else 1e-5
    assert scores.get() == pytest.approx(known, abs=within)
    assert context.get() == pytest.approx(np.einsum("zhij,zjhd->zihd", known, v.get()), abs=10 * within)


def test_a_chip_learns_alike(tmp_path: Path) -> None:
    """Its weights after three steps, the gradients of which stay on the device."""
    data = tmp_path / "text.txt"
    data.write_text("But soft, what light through yonder window breaks? It is the east. " * 4)
    options: dict[str, Any] = {"positions": 16, "batch": 4, "steps": 3, "optimizer": "adamw", "precision": "float64"}
    options |= {"mismatch": 0.05, "vt_mismatch": 0.01, "energy": False, "validation": data, "clip": 0.5}
    known, found = (ds.train("tiny-shakespeare", data, device=device, **options) for device in ("numpy", "cupy"))
    assert found.loss == pytest.approx(known.loss, rel=1e-9) and found.accuracy == known.accuracy
    assert found.validation["loss"] == pytest.approx(known.validation["loss"], rel=1e-9)
    theirs, _ = found.learner.kept()
    for name, value in known.learner.values.items():
        assert np.abs(theirs[name] - value).max() <= 1e-7 * np.abs(value).max(), name
