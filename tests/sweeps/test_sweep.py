"""`ds.sweep`: values against the calls they stand for, what is computed again and what is not, files, processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_cards import resistor
from small_models import write_small

import dsmachine as ds
from dsmachine.circuits.reference import loss
from dsmachine.sweeps import sweep as module
from dsmachine.sweeps import workers as pool
from dsmachine.sweeps.bench import Bench, tasks, text_tokens
from dsmachine.sweeps.parameters import READ
from dsmachine.sweeps.result import Swept

P, WINDOWS = 4, 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite"


def swept(small: str, vary: dict[str, Any], cache: Path, **options: Any) -> Swept:
    settings = {"positions": P, "precision": "float64", **options.pop("settings", {})}
    return ds.sweep(small, vary, cache=cache, windows=WINDOWS, settings=settings, **{"workers": 1, **options})


def bench(small: str, **technology: float) -> tuple[ds.Circuit, dict[str, Any], Any]:
    """The circuit, its inputs and the tokens of the windows that a sweep reads."""
    model = ds.load_model(small)
    circuit = ds.map_model(model, P, technology=ds.load_technology(overrides=technology))
    ids = np.array(model.tokenize(model.calibration_text))
    tokens = np.stack([ids[s : s + P] for s in (0, len(ids) - P)])
    return circuit, {"embed": model.embed(tokens)}, tokens


def perplexity(run: Any, tokens: Any) -> float:
    return float(np.exp(np.mean([loss(z, ids) for z, ids in zip(run.logical("logits"), tokens, strict=True)])))


def test_perplexity_is_that_of_each_chip_at_rest(small: str, cache: Path) -> None:
    found = swept(small, {"mismatch": [0.1, 0.3], "offset": [0, 0.05]}, cache, chips=[0, 7])
    assert found.dimensions == ("mismatch", "offset", "chip", "noise_seed")
    assert found.of("perplexity").shape == (2, 2, 2, 1)
    circuit, inputs, tokens = bench(small)
    for (i, beta), (j, sigma), (k, seed) in _places([0.1, 0.3], [0, 0.05], [0, 7]):
        chip = ds.fabricate(circuit, seed=seed, mismatch=beta, offset=sigma)
        expected = perplexity(ds.operating_point(chip, inputs), tokens)
        assert found.of("perplexity")[i, j, k, 0] == pytest.approx(expected, rel=1e-12)


def _places(*axes: list[Any]) -> list[list[tuple[int, Any]]]:
    return [[(k, axis[k]) for axis, k in zip(axes, index, strict=True)] for index in np.ndindex(*map(len, axes))]


def test_noise_is_read_at_the_end_of_a_noisy_window(small: str, cache: Path) -> None:
    read = {"read_window": 2e-8, "step": 1.0}
    found = swept(small, {"noise": [0.0, 0.02, "thermal"]}, cache, chips=1, noise_seeds=2, settings=read)
    circuit, inputs, tokens = bench(small)
    rest = perplexity(ds.operating_point(circuit, inputs), tokens)
    assert found.of("perplexity")[0, 0].tolist() == pytest.approx([rest, rest], rel=1e-12)
    for k, level in ((1, 0.02), (2, "thermal")):
        for seed in (0, 1):
            run = ds.transient(circuit, inputs, noise=level, noise_seed=seed, precision="float64", **read)
            assert found.of("perplexity")[k, 0, seed] == pytest.approx(perplexity(run, tokens), rel=1e-12)
    assert found.computed == 5  # the quiet machine has no seed


def test_time_and_joules_are_those_of_the_anneal(small: str, cache: Path) -> None:
    """A number of the technology is a parameter like any other; noise does not change how the machine settles."""
    capacitances = [40e-15, 80e-15]
    vary = {"node.capacitance": capacitances, "noise": [0, 0.01]}
    found = swept(small, vary, cache, chips=1, metrics=["settling_time", "energy", "energy_per_token"])
    assert found.computed == 2
    for k, farads in enumerate(capacitances):
        tech = ds.load_technology(overrides={"node.capacitance": farads})
        circuit, inputs, _ = bench(small, **{"node.capacitance": farads})
        meter = ds.EnergyMeter(tech)
        run = ds.transient(circuit, inputs, tolerance=1e-3, precision="float64", observers=[meter])
        assert run.settling_time is not None
        slowest = float(run.settling_time.max())
        joules = meter.report(until=slowest).total.mean()
        np.testing.assert_allclose(found.of("settling_time")[k].ravel(), slowest, rtol=1e-12)
        np.testing.assert_allclose(found.of("energy")[k].ravel(), joules, rtol=1e-12)
        np.testing.assert_allclose(found.of("energy_per_token")[k].ravel(), joules / P, rtol=1e-12)


def test_trims_and_bits_are_parameters(small: str, cache: Path) -> None:
    vary = {"auto-zero": [None, 0.001], "weight_bits": ["exact", 4]}
    found = swept(small, vary, cache, chips=1, settings={"offset": 0.1})
    circuit, inputs, tokens = bench(small)
    for (i, residual), (j, bits) in _places([None, 0.001], [None, 4]):
        trim = {} if residual is None else {"auto-zero": residual}
        chip = ds.fabricate(circuit, offset=0.1, trim=trim, weight_bits=bits)
        expected = perplexity(ds.operating_point(chip, inputs), tokens)
        assert found.of("perplexity")[i, j, 0, 0] == pytest.approx(expected, rel=1e-12)


def test_a_machine_on_its_rails_is_said_in_one_line(small: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At how many points, and the worst of them as the metric has it; from the cache too."""
    vary = {"offset": [0, 0.9], "node.capacitance": [40e-15, 49e-15]}
    found = swept(small, vary, cache, chips=3, metrics=["perplexity", "saturated"])
    share = found.of("saturated")
    assert (share[0] == 0).all() and share[1].max() > 0
    place = np.unravel_index(share.argmax(), share.shape)
    worst = (
        f"offset 0.9, node.capacitance {(40, 49)[place[1]]} fF, chip {place[2]} ({100 * share.max():.2g} % of nodes)"
    )
    line = f"nodes are on their rails, so values are lost, at {(share > 0).sum()} of 12 points, most at {worst}: raise "
    assert [record.getMessage()[: len(line)] for record in caplog.records] == [line]
    caplog.clear()
    swept(small, vary, cache, chips=3)
    assert [record.getMessage()[: len(line)] for record in caplog.records] == [line]
    caplog.clear()
    swept(small, {"offset": [0, 0.001]}, cache, chips=1)
    assert not caplog.records


# --- what is computed -------------------------------------------------------------------------------


def test_what_is_known_is_not_computed_again(small: str, cache: Path) -> None:
    first = swept(small, {"mismatch": [0, 0.1]}, cache, chips=3)
    assert (first.computed, first.known) == (4, 0)  # chips of an ideal process are all the same
    again = swept(small, {"mismatch": [0, 0.1]}, cache, chips=3)
    assert (again.computed, again.known) == (0, 4)
    np.testing.assert_array_equal(again.of("perplexity"), first.of("perplexity"))
    larger = swept(small, {"mismatch": [0, 0.1, 0.2]}, cache, chips=4)
    assert (larger.computed, larger.known) == (5, 4)
    other = swept(small, {"mismatch": [0, 0.1]}, cache, chips=3, metrics=["loss", "accuracy"])
    assert (other.computed, other.known) == (0, 4)  # of the same readings
    np.testing.assert_allclose(np.exp(other.of("loss")), first.of("perplexity"))


@pytest.mark.parametrize("change", ["model", "text", "settings", "technology", "version", "windows"])
def test_whatever_changes_the_result_is_computed_again(
    change: str, small: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(small, {"mismatch": [0.1]}, cache, chips=1)
    options: dict[str, Any] = {"chips": 1}
    vary: dict[str, Any] = {"mismatch": [0.1]}
    if change == "model":
        folder = write_small(tmp_path / "small", calibration="abcdefghijkl" * 30)
        small = str(folder)
    elif change == "text":
        options["text"] = "abcdefghijkl" * 30
    elif change == "settings":
        options["settings"] = {"vt_mismatch": 0.01}
    elif change == "technology":
        options["settings"] = {"supply.swing": 0.4}
    elif change == "version":
        monkeypatch.setattr("dsmachine.sweeps.bench.__version__", "99")
    settings = {"positions": P, "precision": "float64", **options.pop("settings", {})}
    windows = 3 if change == "windows" else WINDOWS
    found = ds.sweep(small, vary, cache=cache, windows=windows, settings=settings, workers=1, **options)
    assert (found.computed, found.known) == (1, 0)


def test_a_technology_is_known_by_its_numbers(small: str, cache: Path, tmp_path: Path) -> None:
    """A file with the bundled numbers is the bundled technology; one that is edited is another."""
    own = tmp_path / "own.toml"
    own.write_text((Path(ds.__file__).parent / "circuits/technologies/cmos45.toml").read_text())
    swept(small, {"mismatch": [0.1]}, cache, chips=1)
    assert swept(small, {"mismatch": [0.1]}, cache, chips=1, settings={"technology": str(own)}).known == 1
    own.write_text(own.read_text().replace("swing = { value = 0.5,", "swing = { value = 0.4,"))
    assert swept(small, {"mismatch": [0.1]}, cache, chips=1, settings={"technology": str(own)}).known == 0


def test_a_stopped_sweep_keeps_what_was_finished(small: str, cache: Path) -> None:
    class Stop(Exception):
        pass

    def told(done: int, total: int) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=4, told=told)
    found = swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=4)
    assert (found.computed, found.known) == (5, 3)


def test_points_that_cannot_be_measured_are_nan(
    small: str, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measure = pool.Laboratory.measure

    def failing(self: pool.Laboratory, task: pool.Task) -> list[dict[str, float]]:
        if task[0].chip == 1:
            raise ds.Error("chip 1 is broken: take another")
        return measure(self, task)

    monkeypatch.setattr(pool.Laboratory, "measure", failing)
    found = swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=3, limits={"perplexity": 1e9})
    assert np.isnan(found.of("perplexity")[:, 1]).all() and found.missing == {"perplexity": 2}
    assert found.failed == [("chip 1 is broken: take another", 2)] and "chip 1 is broken" in caplog.text
    assert np.isfinite(found.mean("perplexity")).all()
    np.testing.assert_allclose(found.yield_at("perplexity"), 2 / 3)
    with pytest.raises(ds.Error, match="no point could be measured: chip 1 is broken"):
        swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=[1])
    monkeypatch.undo()
    assert swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=3).computed == 2  # failures are not kept


# --- processes --------------------------------------------------------------------------------------


def test_processes_find_what_one_does(small: str, tmp_path: Path) -> None:
    vary = {"mismatch": [0.1, 0.2]}
    alone = swept(small, vary, tmp_path / "a", chips=3, metrics=["perplexity", "settling_time"])
    both = swept(small, vary, tmp_path / "b", chips=3, metrics=["perplexity", "settling_time"], workers=2)
    assert both.computed == alone.computed == 12
    for name in alone.values:
        np.testing.assert_array_equal(both.of(name), alone.of(name))


def test_a_worker_that_dies_is_replaced(small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job is given out again, and nothing is missing."""
    started: list[int] = []
    start = pool._Worker._start

    def noted(self: Any) -> None:
        start(self)
        started.append(self.process.pid)

    def told(done: int, total: int) -> None:
        if done == 2:
            os.kill(started[0], signal.SIGKILL)

    monkeypatch.setattr(pool._Worker, "_start", noted)
    alone = swept(small, {"mismatch": [0.1, 0.2]}, tmp_path / "a", chips=4)
    found = swept(small, {"mismatch": [0.1, 0.2]}, tmp_path / "b", chips=4, workers=2, told=told)
    assert len(started) == 3
    np.testing.assert_array_equal(found.of("perplexity"), alone.of("perplexity"))


def test_a_job_that_kills_its_workers_is_given_up(small: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool._Worker, "give", _give_and_kill)
    with pytest.raises(ds.Error, match=r"no point could be measured: 3 processes that measured it died"):
        swept(small, {"mismatch": [0.1, 0.2]}, cache, chips=1, workers=2)


def _give_and_kill(self: Any, task: Any) -> None:
    self.task = task
    self.process.kill()


def test_devices_are_cores_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_gpus", lambda: 0)
    assert pool.devices_here(None) == ["numpy"] * len(os.sched_getaffinity(0))
    assert pool.devices_here("cupy") == ["cupy"]  # which then says that there is none
    monkeypatch.setattr(pool, "_gpus", lambda: 2)
    assert pool.devices_here(None) == ["cupy:0", "cupy:1"] == pool.devices_here("cupy")
    assert pool.devices_here("cupy:1") == ["cupy:1"]
    assert set(pool.devices_here("numpy")) == {"numpy"}


@pytest.mark.parametrize("workers", [None, 5])
def test_each_gpu_has_a_process_of_its_own(
    workers: int | None, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three GPUs, the processor standing in for each: a process for every one, or more of them in turn."""
    given: list[str] = []

    def greet(self: pool._Worker) -> None:
        given.append(self.device)
        self.line.send((self.bench, "numpy"))

    monkeypatch.setattr(pool, "_gpus", lambda: 3)
    monkeypatch.setattr(pool._Worker, "greet", greet)
    found = swept(small, {"mismatch": [0.1, 0.2]}, tmp_path / "a", chips=3, workers=workers)
    assert given == ["cupy:0", "cupy:1", "cupy:2", "cupy:0", "cupy:1"][: workers or 3]
    monkeypatch.undo()
    alone = swept(small, {"mismatch": [0.1, 0.2]}, tmp_path / "b", chips=3)
    np.testing.assert_array_equal(found.of("perplexity"), alone.of("perplexity"))


def test_levels_of_noise_are_measured_together(small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that differ in their noise alone are one task while every worker has one; values are those of jobs alone,
    and where one of them fails the others have theirs."""
    seen: list[list[float]] = []
    measure = pool.Laboratory.measure

    def noted(self: pool.Laboratory, task: pool.Task) -> list[dict[str, float]]:
        seen.append([job.point["noise"] for job in task])
        if 0.3 in seen[-1]:
            raise ds.Error("too noisy: take less")
        return measure(self, task)

    monkeypatch.setattr(pool.Laboratory, "measure", noted)
    vary, settings = {"noise": [0.0, 0.02, 0.1, "thermal", 0.3]}, {"mismatch": 0.1, "read_window": 2e-8}
    found = swept(small, vary, tmp_path / "a", chips=2, settings=settings)
    levels = [0.02, 0.1, "thermal", 0.3]
    assert seen == 2 * [[0.0], levels, *([level] for level in levels)]
    assert found.failed == [("too noisy: take less", 2)] and found.missing == {"perplexity": 2}
    for level in (0.02, "thermal"):
        alone = swept(small, {"noise": [level]}, tmp_path / "b", chips=2, settings=settings)
        k = vary["noise"].index(level)
        np.testing.assert_array_equal(found.of("perplexity")[k], alone.of("perplexity")[0])


def test_tasks_leave_something_for_every_worker(small: str) -> None:
    model = ds.load_model(small)
    bench = Bench(model, text_tokens(model, None, 1), 1)
    points = [{"positions": P, "noise": level, "mismatch": 0.1} for level in np.linspace(0.01, 0.2, 20).tolist()]
    jobs = [bench.job(READ, point, chip, 0) for chip in (0, 1) for point in points]
    assert [len(task) for task in tasks(jobs, 1)] == [8, 8, 4, 8, 8, 4]
    assert [len(task) for task in tasks(jobs, 16)] == [2] * 20
    assert [len(task) for task in tasks(jobs, 100)] == [1] * 40
    assert [job for task in tasks(jobs, 3) for job in task] == jobs


def test_a_model_goes_to_processes_as_it_is(small: str, cache: Path) -> None:
    """Not by its name: one that was made in memory is swept too."""
    found = ds.sweep(ds.load_model(small), {"mismatch": [0.1, 0.2]}, cache=cache, chips=1, workers=2, windows=2)
    assert np.isfinite(found.of("perplexity")).all()
    assert found.grid.settings == {"positions": min(module.POSITIONS, ds.load_model(small).config.context)}


def test_transistors_differ_and_flicker(small: str, cache: Path, tmp_path: Path) -> None:
    """A device card is a parameter by its path, known by its content; 1/f noise is another in each run."""
    ds.save_device(resistor(), tmp_path / "card.h5")
    settings = {"device_card": str(tmp_path / "card.h5"), "pelgrom": True}
    found = swept(small, {"flicker": [0, 1]}, cache, chips=2, noise_seeds=2, settings=settings)
    assert found.computed == 2 + 4
    model, tech = ds.load_model(small), ds.load_technology()
    _, inputs, tokens = bench(small)
    circuit = ds.map_model(model, P, device_card=ds.load_device(tmp_path / "card.h5"))
    areas = {name: getattr(tech.mismatch, name) for name in vars(tech.mismatch)}
    for (k, flicker), (i, chip), (j, seed) in _places([0.0, tech.flicker.area], [0, 1], [0, 1]):
        made = ds.flickered(ds.fabricate(circuit, seed=chip, **areas), flicker, noise_seed=seed)
        expected = perplexity(ds.operating_point(made, inputs), tokens)
        assert found.of("perplexity")[k, i, j] == pytest.approx(expected, rel=1e-12)
    (tmp_path / "card.h5").rename(tmp_path / "moved.h5")
    settings["device_card"] = str(tmp_path / "moved.h5")
    assert swept(small, {"flicker": [0, 1]}, cache, chips=2, noise_seeds=2, settings=settings).computed == 0


@pytest.mark.parametrize(
    ("vary", "options", "words"),
    [
        (["mismatch"], {}, ("vary is", "{parameter: values}")),
        ({"mismatch": 0.1}, {}, ("'mismatch'", "0.1", "list")),
        ({"mismatch": "0.1"}, {}, ("'mismatch'", "list")),
        ({"mismatch": []}, {}, ("'mismatch'", "at least one")),
        ({"mismatch": [0, np.nan]}, {}, ("mismatch is nan", "number")),
        ({"mismatch": [True]}, {}, ("mismatch is True", "number")),
        ({"leakage": [0, 2]}, {}, ("leakage is 2", "0 or 1")),
        ({"coupling": [3]}, {}, ("coupling is 3", "word")),
        ({"mismatch": [0]}, {"chips": [1, 1]}, ("chips is [1, 1]", "different seeds")),
        ({"mismatch": [0]}, {"chips": [-1]}, ("chips[0] is -1",)),
        ({"mismatch": [0]}, {"metrics": []}, ("no metric",)),
        ({"mismatch": [0]}, {"limits": 9}, ("limits is 9",)),
        ({"mismatch": [0]}, {"limits": {"perplexity": "low"}}, ("limit of perplexity is 'low'",)),
        ({"mismatch": [0]}, {"text": "abc"}, ("text has 3 tokens", "positions is 4")),
        ({"mismatch": [0]}, {"text": "ABC!"}, ("text",)),
        ({"mismatch": [0]}, {"device": "cupy:x"}, ("'cupy:x'",)),
    ],
)
def test_what_is_refused(vary: Any, options: dict[str, Any], words: tuple[str, ...], small: str, cache: Path) -> None:
    with pytest.raises(ds.Error) as caught:
        swept(small, vary, cache, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not cache.exists()
