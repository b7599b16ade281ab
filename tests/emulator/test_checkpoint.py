"""Runs that are stopped, killed or out of memory: what was done is kept, and going on gives the uninterrupted run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from host_kernels import HostKernel
from runs import chain
from systems.system import TAU

import dsmachine as ds
from dsmachine.emulator import kernels
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.checkpoint import Stopped

Array = Any
INPUTS = {"u": np.array([[1.0, -1.0, 0.5, 0.2], [0.3, 0.3, -0.7, 0.0]])}
LONG: dict[str, Any] = {"duration": 4000 * TAU, "tolerance": 1e-5}
NOISY: dict[str, Any] = {"noise": "thermal", "read_window": 100 * TAU, "samples": 3}


class Stops:
    """Observer that raises in the middle of a window: when so many elements have been seen in all."""

    keeps = ("seen",)

    def __init__(self, after: int, problem: BaseException | None) -> None:
        self.after, self.problem, self.seen = after, problem, 0

    def begin(self, plan: Any, start: Any) -> None:
        self.seen = 0

    def element(self, element: Any) -> None:
        self.seen += 1
        if self.seen == self.after and self.problem:
            raise self.problem

    def window(self, time: float) -> None:
        pass


def watchers() -> list[Any]:
    return [ds.Probe(["a.0", "a.2"]), ds.ErrorByLayer(), ds.Activity(), ds.EnergyMeter()]


def same(found: Any, known: Any) -> None:
    """Two runs bit for bit: outputs, settling, what was counted and recorded, joules."""
    for name, volts in known.outputs.items():
        assert np.array_equal(found.outputs[name], volts), name
    assert (found.settling_time is None) == (known.settling_time is None)
    if known.settling_time is not None:
        assert np.array_equal(found.settling_time, known.settling_time, equal_nan=True)
    assert (found.by_array, found.noise_rms, found.duration) == (known.by_array, known.noise_rms, known.duration)
    for key in ("elements", "points", "rejected", "sweeps", "by_layer", "steps"):
        assert found.statistics.get(key) == known.statistics.get(key)
    for key, observer in known.observed.items():
        if hasattr(observer, "traces"):
            for name, trace in observer.traces().items():
                again = found.observed[key].traces()[name]
                assert np.array_equal(again.times, trace.times) and np.array_equal(again.values, trace.values)
        if hasattr(observer, "report"):
            assert found.observed[key].report().to_json() == observer.report().to_json()


def ring() -> ds.Circuit:
    """With a cycle."""
    circuit = ds.Circuit("ring", output="s")
    circuit.clamp("u", (4,), unit=0.1)
    circuit.nodes("s", (4,), unit=0.1)
    circuit.couple("h", "u", "s", 1.0)
    circuit.couple("J", "s", "s", 0.5 * np.roll(np.eye(4), 1, axis=0))
    return circuit


def moving() -> ds.Circuit:
    """With devices whose noise moves with the state."""
    circuit = chain(2)
    circuit.nodes("b", (4,), unit=0.1)
    circuit.tanh("t", "a.0", "b")
    circuit.multiply("m", "a.0", "a.1", "b", "i,i->i")
    return circuit


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("machine", "options", "watched"),
    [
        (chain, LONG, True),
        (chain, {"settle_bits": 20, "precision": "float64", "duration": 600 * TAU}, True),
        (chain, {"elements": np.linspace(0, 60 * TAU, 31)[1:], "settle_bits": 0}, False),
        (chain, LONG | {"initial": "random", "initial_seed": 3}, False),
        (chain, NOISY, False),
        (chain, {"method": "stepper", "duration": 100 * TAU}, False),
        (ring, LONG, False),
        (ring, NOISY, False),
        (moving, NOISY | {"step": 0.3}, False),  # windows end between two looks
    ],
    ids=["long", "settling", "elements", "initial", "noise", "stepper", "cycle", "noise on a cycle", "moving noise"],
)
def test_going_on_gives_the_uninterrupted_run(
    machine: Callable[[], Any], options: dict[str, Any], watched: bool, precision: str, tmp_path: Path
) -> None:
    path, circuit = tmp_path / "run.h5", machine()
    options = {"precision": precision} | options

    def run(problem: BaseException | None, after: int = -1, **more: Any) -> Any:
        seen = [*(watchers() if watched else []), Stops(after, problem)]
        return ds.transient(circuit, INPUTS, observers=seen, **options, **more)

    known = run(None)
    seen = known.observed["Stops"].seen
    for after in (1, seen // 2, seen):
        path.unlink(missing_ok=True)
        with pytest.raises(Stopped, match="to go on"):
            run(KeyboardInterrupt(), after, checkpoint=path)
        kept = ds.load_run(path)
        assert kept.unfinished and 0 <= kept.duration < known.duration
        assert "unfinished" in repr(kept)
        same(run(None, resume=path, checkpoint=path), known)
        assert not ds.load_run(path).unfinished


@pytest.mark.parametrize(("machine", "options"), [(chain, LONG), (moving, NOISY | {"step": 0.3})])
def test_going_on_by_kernels(
    machine: Callable[[], Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU's way, its kernels compiled for the processor."""
    monkeypatch.setattr(Backend, "fused", property(lambda self: True))
    monkeypatch.setattr(kernels, "compiled", HostKernel)
    test_going_on_gives_the_uninterrupted_run(machine, options, machine is chain, "float32", tmp_path)


def test_stopped_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    known = ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], **LONG)
    seen = known.observed["Stops"].seen  # type: ignore[attr-defined]
    with pytest.raises(Stopped):
        ds.transient(chain(), INPUTS, observers=[Stops(seen // 3, KeyboardInterrupt())], checkpoint=first, **LONG)
    with pytest.raises(Stopped):
        late = [Stops(2 * seen // 3, KeyboardInterrupt())]
        ds.transient(chain(), INPUTS, observers=late, checkpoint=second, resume=first, **LONG)
    assert ds.load_run(first).duration < ds.load_run(second).duration
    same(ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], resume=second, **LONG), known)


class Looks:
    """Observer that has nothing to remember, and says so."""

    keeps = ()

    def begin(self, plan: Any, start: Any) -> None:
        pass

    def element(self, element: Any) -> None:
        pass

    def window(self, time: float) -> None:
        pass


def test_an_observer_that_keeps_nothing_may_watch(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(Stopped):
        ds.transient(chain(), INPUTS, observers=[Stops(60, KeyboardInterrupt()), Looks()], checkpoint=path, **LONG)
    found = ds.transient(chain(), INPUTS, observers=[Stops(-1, None), Looks()], resume=path, **LONG)
    same(found, ds.transient(chain(), INPUTS, **LONG))


def test_out_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(ds.Error, match=r"memory ran out after .*: make room, then resume .*run\.h5"):
        ds.transient(chain(), INPUTS, observers=[Stops(60, MemoryError())], checkpoint=path, **LONG)
    assert ds.load_run(path).unfinished and ds.load_run(path).duration > 0
    same(
        ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], resume=path, **LONG),
        ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], **LONG),
    )
    with pytest.raises(ds.Error, match="memory ran out"):
        ds.transient(chain(), INPUTS, observers=[Stops(60, MemoryError())], **LONG)


def test_interrupt_without_a_checkpoint_is_python_s_own() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        ds.transient(chain(), INPUTS, observers=[Stops(60, KeyboardInterrupt())], **LONG)
    assert not isinstance(caught.value, Stopped)


# --- files that cannot be gone on with --------------------------------------------------------------------


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unfinished") / "run.h5"
    with pytest.raises(Stopped):
        ds.transient(chain(), INPUTS, observers=[Stops(60, KeyboardInterrupt())], checkpoint=path, **LONG)
    return path


def refused(circuit: ds.Circuit, path: Path, inputs: Any = INPUTS, **options: Any) -> str:
    with pytest.raises(ds.Error) as problem:
        ds.transient(circuit, inputs, resume=path, **{"observers": [Stops(-1, None)]} | options)
    line = str(problem.value)
    assert "\n" not in line and str(path) in line
    return line


def test_files_of_other_runs(unfinished: Path, tmp_path: Path) -> None:
    other = chain()
    other.couple("more", "u", "a.0", 1e-3)
    assert "(circuit)" in refused(other, unfinished, **LONG)
    assert "(inputs)" in refused(chain(), unfinished, {"u": 0.9 * INPUTS["u"]}, **LONG)
    assert "(initial values)" in refused(chain(), unfinished, initial="random", **LONG)
    assert "tolerance=1e-05, not 0.0001" in refused(chain(), unfinished, **LONG | {"tolerance": 1e-4})
    assert "precision" in refused(chain(), unfinished, precision="float64", **LONG)
    assert "other observers (Stops, settling)" in refused(chain(), unfinished, observers=[], **LONG)
    finished, cut, text = (tmp_path / name for name in ("finished.h5", "cut.h5", "text.h5"))
    ds.transient(chain(), INPUTS, duration=4 * TAU).save(finished)
    assert "finished" in refused(chain(), finished, **LONG)
    cut.write_bytes(unfinished.read_bytes()[:-200])
    assert "truncated" in refused(chain(), cut, **LONG)
    text.write_text("no run")
    assert "not HDF5" in refused(chain(), text, **LONG)
    assert "does not exist" in refused(chain(), tmp_path / "none.h5", **LONG)


def test_a_state_that_does_not_say_all_is_refused(unfinished: Path, tmp_path: Path) -> None:
    """Runs of an older format say less of what they are of; what they found can be read."""
    older = tmp_path / "older.h5"
    older.write_bytes(unfinished.read_bytes())
    with h5py.File(older, "r+") as file:
        file.attrs["format_version"] = 2
    assert refused(chain(), older, **LONG).endswith("is format 2, this dsmachine goes on with 3: run it again")
    assert ds.load_run(older).unfinished


@pytest.mark.parametrize(
    ("made", "now", "words"),
    [
        ({"noise_seed": 3}, {}, "with noise_seed=3, not 0: use the same"),
        ({"step": 0.3}, {}, "with step=0.3, not without it: give the same"),
        ({}, {"step": 0.3}, "without step, not with step=0.3: leave it out"),
        ({}, {"samples": None}, "with samples=3, not without it: give the same"),
        ({}, {"noise": 0.01}, "with noise='thermal', not 0.01: use the same"),
        ({}, {"noise": "off", "read_window": None, "samples": None}, "with noise='thermal', not 'off': use the same"),
    ],
)
def test_options_left_out_are_missed(made: dict[str, Any], now: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(Stopped):
        stops = Stops(1, KeyboardInterrupt())
        ds.transient(chain(), INPUTS, observers=[stops], checkpoint=path, **NOISY | made)
    assert refused(chain(), path, **NOISY | now).startswith(f"run file {path} was made {words}")


def test_a_probe_of_something_else_is_refused(tmp_path: Path) -> None:
    """Records of other nodes or times do not go on with its own."""
    path = tmp_path / "run.h5"

    def watched(*probes: ds.Probe) -> list[Any]:
        return [*probes, Stops(-1, None)]

    with pytest.raises(Stopped):
        seen = [ds.Probe(["a.0"]), Stops(60, KeyboardInterrupt())]
        ds.transient(chain(), INPUTS, observers=seen, checkpoint=path, **LONG)
    for probes, words in (
        ([ds.Probe(["a.2"])], "Probe.nodes={'a.0': 'Ellipsis'}, not {'a.2': 'Ellipsis'}: use the same"),
        ([ds.Probe({"a.0": np.array([1, 2])})], "Probe.nodes={'a.0': 'Ellipsis'}, not {'a.0': '[1, 2]'}: use the same"),
        ([ds.Probe(["a.0"], density=4)], "Probe.density=8, not 4: use the same"),
        ([ds.Probe(["a.0"], times=np.array([TAU]))], "without Probe.times, not with Probe.times="),
        ([], "with Probe.nodes={'a.0': 'Ellipsis'}, not without it: give the same"),
        ([ds.Probe(["a.0"]), ds.Probe(["a.2"])], "without Probe 2.nodes, not with Probe 2.nodes="),
    ):
        assert words in refused(chain(), path, observers=watched(*probes), **LONG)
    found = ds.transient(chain(), INPUTS, observers=watched(ds.Probe(["a.0"])), resume=path, **LONG)
    same(found, ds.transient(chain(), INPUTS, observers=watched(ds.Probe(["a.0"])), **LONG))


def test_damage_anywhere_is_found(unfinished: Path, tmp_path: Path) -> None:
    """A byte changed in a file of an unfinished run: refused in one line, or it did not matter."""
    whole, path = unfinished.read_bytes(), tmp_path / "damaged.h5"
    known = ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], **LONG)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            again = ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], resume=path, **LONG)
        except ds.Error as problem:
            assert "\n" not in str(problem)
        else:
            same(again, known)


def test_where_a_checkpoint_may_stand(unfinished: Path, tmp_path: Path) -> None:
    before = unfinished.read_bytes()
    with pytest.raises(ds.Error, match="already exists"):
        ds.transient(chain(), INPUTS, checkpoint=unfinished, **LONG)
    with pytest.raises(ds.Error, match="does not exist"):
        ds.transient(chain(), INPUTS, checkpoint=tmp_path / "none" / "run.h5", **LONG)
    assert unfinished.read_bytes() == before


def test_observers_that_do_not_say_what_they_keep_are_refused(tmp_path: Path) -> None:
    class Silent(Stops):
        keeps = property()  # type: ignore[assignment]

    with pytest.raises(ds.Error, match="observer Silent cannot be kept"):
        ds.transient(chain(), INPUTS, observers=[Silent(-1, None)], checkpoint=tmp_path / "run.h5", **LONG)


# --- processes --------------------------------------------------------------------------------------------

PROGRAM = """
import signal, sys, time
import dsmachine as ds
from test_checkpoint import INPUTS, LONG, Stops, chain

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

class Slow(Stops):
    def window(self, time_reached):
        print(time_reached, flush=True)
        time.sleep(0.1)

Slow.__name__ = "Stops"
ds.transient(chain(), INPUTS, observers=[Slow(-1, None)], checkpoint=ds.Checkpoint(sys.argv[1], every=0.15), **LONG)
"""


def started(path: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (here, here.parent, here.parents[1])))}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_or_killed(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C keeps all windows that were done; kill −9 those up to the latest checkpoint."""
    path = tmp_path / "run.h5"
    process = started(path)
    assert process.stdout is not None
    times = [float(process.stdout.readline()) for _ in range(8)]
    process.send_signal(how)
    rest, said = process.communicate(timeout=60)
    assert process.returncode != 0
    if how is signal.SIGINT:
        times += [float(line) for line in rest.split()]
        assert "Stopped" in said and str(path) in said
    kept = ds.load_run(path)
    assert kept.unfinished
    assert kept.duration in times[-2:] if how is signal.SIGINT else kept.duration >= times[3]
    known = ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], **LONG)
    again = ds.transient(chain(), INPUTS, observers=[Stops(-1, None)], resume=path, **LONG)
    same(again, known)
