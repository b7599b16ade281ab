"""How many bytes a run holds: predicted on arrays without numbers, measured by tracemalloc, which NumPy reports to."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import chain
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.cells import Transfer
from dsmachine.commands import main
from dsmachine.emulator import memory, run
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.ledger import Ledger
from dsmachine.emulator.shadow import Functions, Shadow, Unpredicted

Array = Any


@pytest.fixture(scope="module")
def model() -> Any:
    return ds.load_model("tiny-shakespeare")


@pytest.fixture(scope="module")
def circuit(model: Any) -> ds.Circuit:
    return ds.map_model(model, 16)


def prompts(model: Any, count: int) -> Array:
    text = model.calibration_text
    return np.stack([model.embed(model.encode(text[50 * k : 50 * k + 16])) for k in range(count)])


def measured(circuit: ds.Circuit, embed: Array, precision: str = "float32", **options: Any) -> tuple[ds.Plan, Any, int]:
    """(plan, run, most bytes held meanwhile, beyond what was there before `prepare`)."""
    gc.freeze()  # how much there is beside decides how long rings of the run's own objects wait for the collector
    tracemalloc.start()
    try:
        plan = ds.prepare(circuit, precision=precision)
        gc.collect()
        tracemalloc.reset_peak()
        found = ds.transient(plan, {"embed": embed}, **options)
        return plan, found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


CASES = [
    (1, "float32", {"tolerance": 1e-3}),
    (1, "float32", {"tolerance": 1e-3, "accuracy": "settling"}),
    (1, "float32", {"tolerance": 1e-4}),
    (1, "float64", {"tolerance": 1e-6}),
    (6, "float32", {"tolerance": 1e-3}),
]


@pytest.mark.parametrize(("batch", "precision", "options"), CASES)
def test_elements(
    batch: int, precision: str, options: Any, model: Any, circuit: ds.Circuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the run, and with the elements that the busiest window took after it."""
    marches: list[Any] = []
    true_march: Callable[..., Any] = run._march

    def march_of(plan: Any, march: Any, *rest: Any) -> float:
        marches.append(march)
        return float(true_march(plan, march, *rest))

    monkeypatch.setattr(run, "_march", march_of)
    plan, found, peak = measured(circuit, prompts(model, batch), precision, **options)
    before = found.statistics["predicted_bytes"]
    assert before == pytest.approx(peak, rel=0.15)
    taken = max(
        sum(block.count for block in window if block.group == group)
        for window in marches[0].taken
        for group in range(len(plan.groups))
    )
    monkeypatch.setattr(memory, "assumed", lambda *_: taken)
    plan.needs.clear()
    after = ds.memory_needed(plan, batch=batch, **options)
    assert after.total == pytest.approx(peak, rel=0.15)


@pytest.fixture(scope="module")
def shape() -> tuple[ds.Circuit, Array]:
    """(GPT-2's shape, narrower, with random weights; its input)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        from machines import gpt2_like, random_machine  # type: ignore[import-not-found, unused-ignore]

        return random_machine(gpt2_like(12, 128, 4), 16, 256, layers=4)  # type: ignore[no-any-return]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("accuracy", ["settling", "waveform"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
@pytest.mark.parametrize("which", ["bundled", "shape"])
def test_before_the_run(
    which: str, tolerance: float, accuracy: str, precision: str, model: Any, circuit: ds.Circuit, shape: Any
) -> None:
    """Within 15 % of the peak, though how many elements there will be is not known."""
    machine, embed = (circuit, prompts(model, 1)) if which == "bundled" else shape
    _, found, peak = measured(machine, embed, precision, tolerance=tolerance, accuracy=accuracy)
    assert found.statistics["predicted_bytes"] == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize(("samples", "noise"), [(4, "thermal"), (4, 0.01)])
def test_stepper(samples: int, noise: Any, model: Any, circuit: ds.Circuit) -> None:
    _, found, peak = measured(circuit, prompts(model, 1), noise=noise, samples=samples, read_window=10e-9)
    assert found.statistics["predicted_bytes"] == pytest.approx(peak, rel=0.15)


ONE_ELEMENT: dict[str, Any] = {"elements": [1e-9], "settle_bits": 8}
NOISY: dict[str, Any] = {"noise": "thermal", "samples": 4, "read_window": 10e-9}


@pytest.mark.parametrize(
    ("batch", "options", "most"),
    [(1, ONE_ELEMENT, 1.1), (6, ONE_ELEMENT, 1.1), (1, NOISY, 1.1), (6, {"tolerance": 1e-3}, 1.15)],
)
def test_kernels(
    batch: int, options: Any, most: float, model: Any, circuit: ds.Circuit, fused: Callable[[], None]
) -> None:
    """A GPU's way through a run, its kernels compiled for the processor."""
    fused()
    embed = prompts(model, batch)
    ds.transient(circuit, {"embed": embed}, **options)  # compiles
    _, found, peak = measured(circuit, embed, **options)
    assert 0.9 * peak < found.statistics["predicted_bytes"] < most * peak


@pytest.mark.parametrize(
    ("which", "batch", "precision", "options"),
    [
        ("bundled", 1, "float32", {}),
        ("bundled", 8, "float32", {}),
        ("bundled", 1, "float32", {"tolerance": 1e-3}),
        ("bundled", 1, "float32", {"accuracy": "settling"}),
        ("bundled", 2, "float64", {}),
        ("shape", 1, "float32", {}),
        ("shape", 1, "float64", {"tolerance": 1e-3}),
    ],
)
def test_blocks_of_a_gpu(
    which: str,
    batch: int,
    precision: str,
    options: Any,
    model: Any,
    circuit: ds.Circuit,
    shape: Any,
    fused: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Elements in rows, in windows twice as long, before the run within 15 % of its peak."""
    fused()
    gpu, block = Backend("cupy"), Backend.block
    monkeypatch.setattr(Backend, "longer", gpu.longer)
    monkeypatch.setattr(Backend, "block", lambda self, values: block(gpu, values))
    machine, embed = (circuit, prompts(model, batch)) if which == "bundled" else shape
    ds.transient(machine, {"embed": embed}, precision=precision, **options)  # compiles
    _, found, peak = measured(machine, embed, precision, **options)
    assert found.statistics["predicted_bytes"] == pytest.approx(peak, rel=0.15)


def test_a_gpu_need_not_be_there(circuit: ds.Circuit) -> None:
    """Weights are what the cells hold, and a GPU takes more elements at once than a cache."""
    host, gpu, twice = (
        ds.memory_needed(circuit, **options)
        for options in ({}, {"device": "cupy"}, {"device": "cupy", "precision": "float64"})
    )
    assert 1_900_000 < gpu.weights < twice.weights < 2 * gpu.weights  # masks stay as they are
    assert twice.polynomials == pytest.approx(2 * gpu.polynomials, rel=0.05)
    assert gpu.temporaries > host.temporaries
    assert host.total == sum(getattr(host, part) for part in memory.PARTS)
    assert "weights" in str(host)


def test_weights_are_what_is_placed() -> None:
    """Two matrices of 1,000 × 1,000 and one full scale each, which CuPy rounds up to 512 bytes."""
    assert ds.memory_needed(chain(2, 1000), device="cupy").weights == 2 * (4_000_256 + 512)


@pytest.mark.parametrize(
    "law",
    [
        lambda a, b: (abs(a - b) * 2 + b).max(axis=-1),
        lambda a, b: a.reshape(6, -1) @ b.reshape(6, -1).T,
        lambda a, b: np.where(a > b, a, 0.0).transpose(2, 0, 1).reshape(-1),
        lambda a, b: np.concatenate([a[:, :1], b[:, 1:]], axis=1)[..., ::-1],
        lambda a, b: np.exp(np.float64(2.0) * a.swapaxes(0, 1)).sum(axis=(0, 2), keepdims=True),
        lambda a, b: a[..., np.array([3, 1])] * b[:, None, 0, :2],
        lambda a, b: np.einsum("kij,kij->k", a, b),
        lambda a, b: np.linalg.solve(np.broadcast_to(np.eye(400, dtype=np.float32), (2, 400, 400)) + a[:, :, :1], a),
    ],
)
def test_arrays_without_numbers_behave_like_arrays(law: Callable[[Array, Array], Array]) -> None:
    """Shape and type of the result, and the bytes on the way there, temporaries that NumPy writes into included."""
    real = [np.ones((2, 400, 300), np.float32) for _ in range(2)]
    ledger = Ledger("all", reuses=True)
    shadows = [Functions(ledger).empty(array.shape, array.dtype) for array in real]
    held, ledger.peak = ledger.total, 0
    law(*real)  # what is imported or kept once is
    tracemalloc.start()
    known = law(*real)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = law(*shadows)
    assert isinstance(found, Shadow)
    assert (found.shape, found.dtype) == (known.shape, known.dtype)
    assert ledger.peak - held == pytest.approx(peak, rel=0.02, abs=20_000)
    del found
    assert ledger.total == held


def test_nothing_is_read_of_arrays_without_numbers() -> None:
    """Of more bytes than there are anywhere."""
    ledger = Ledger("all")
    large = Functions(ledger).empty((1 << 20, 1 << 20), np.float32)
    assert large.T.reshape(-1).shape == (1 << 40,)
    assert large[:, np.array([1, 2])].shape == (1 << 20, 2)
    assert ledger.peak == 1 << 43
    for index in ((np.array([1]), np.array([1])), [1, 2], np.zeros(1 << 20, bool)):
        with pytest.raises(Unpredicted):
            large[index]


class Odd(Transfer):
    """A cell that does what arrays without numbers do not know."""

    def f(self, x: Array) -> Array:
        return np.sort(x, axis=-1)


def test_a_cell_that_cannot_be_followed_runs_all_the_same() -> None:
    odd = chain(2)
    odd.add(Odd("odd", "a.1", ds.circuits.cells.View("a.0")))
    found = ds.transient(odd, {"u": np.zeros(4)}, duration=1e-9)
    assert "predicted_bytes" not in found.statistics
    with pytest.raises(ds.Error, match="cannot be predicted: no sort"):
        ds.memory_needed(odd)


# --- what does not fit ------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_before_any_work(circuit: ds.Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ds.prepare(circuit)
    monkeypatch.setattr(memory, "host_room", lambda: 1_000_000)
    monkeypatch.setattr(run, "solve_operating_point", None)
    with pytest.raises(
        ds.Error, match=r"needs .* MB of memory, .* left; most of it are polynomials .*: use fewer"
    ) as said:
        ds.transient(plan, {"embed": np.zeros((6, 16, 64))})
    for word in ("1 MB left", "tolerance", "settling", "another device"):
        assert word in str(said.value)
    with pytest.raises(ds.Error, match=r"weights .*: use precision float32"):
        ds.prepare(circuit)


def test_exactly_what_is_there_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ds.prepare(chain())
    memory_of = ds.memory_needed(plan, duration=1e-9)
    for room, fits in ((memory_of.total - memory_of.weights, True), (memory_of.total - memory_of.weights - 1, False)):
        monkeypatch.setattr(memory, "host_room", lambda room=room: room)
        if fits:
            ds.transient(plan, {"u": np.zeros(4)}, duration=1e-9)
        else:
            with pytest.raises(ds.Error, match="memory"):
                ds.transient(plan, {"u": np.zeros(4)}, duration=1e-9)


def test_what_linux_says(tmp_path: Path) -> None:
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:       65000000 kB\nMemAvailable:   12345678 kB\n")
    assert memory.host_room(str(said)) == 12345678 * 1024
    assert memory.host_room(str(tmp_path / "none")) is None
    there = memory.host_room()
    assert there is None or there > 1 << 20


def test_command_refuses_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, path = str(write_small(tmp_path / "small")), tmp_path / "run.h5"
    monkeypatch.setattr(memory, "host_room", lambda: 100_000)
    assert main(["anneal", small, "--prompt", PROMPT, "-o", str(path)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and "100 kB left" in err
    assert not path.exists()
