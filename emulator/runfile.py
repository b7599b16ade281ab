"""Run files: what a run found and everything needed to know where it came from, in one HDF5 file.

    outputs/NAME            V      last value of each free array, (batch, *shape)
    units/NAME              V      volts per logical unit;   full_scale/NAME   V
    settling_time           s      of each sample;           by_array, saturated, noise_rms   tables
    observed/KEY/NAME/      times [s], values [unit], nodes of each trace an observer recorded
    about, statistics       json   circuit, versions, time of writing; engine, precision, seeds
    state                          of a run that is not finished: what `resume` goes on from (`checkpoint.py`)
    extra/NAME                     what the caller saved beside it: prompt, logits, energy, technology …

Attributes of the file: format, format_version, written (ISO 8601). Written whole (`files.py`).
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ..circuits import checks
from ..circuits.errors import Error
from ..circuits.named import Named
from . import hdf5
from .files import written_whole
from .result import Result
from .traces import Trace, Traced

if TYPE_CHECKING:
    from .run import Run

Array = Any
log = logging.getLogger(__name__)
FORMAT = "dsmachine run"
FORMAT_VERSION = 3  # 3: a state's case has all settings that change what is found, those of observers too
SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass
class Record:
    """What one observer recorded, as read from a file: `traces()` by name, as the observer has."""

    kind: str
    record: dict[str, Trace]
    layers: dict[str, str] = field(default_factory=dict)

    def traces(self) -> dict[str, Trace]:
        """Traces by name."""
        return self.record

    def times(self, name: str) -> Array:
        """Sample times [s]."""
        return self.record[name].times

    def volts(self, name: str) -> Array:
        """Samples of a probe in volts, (T, batch, …)."""
        return self.record[name].values


@dataclass(repr=False)
class LoadedRun(Result):
    """A Run as its file has it: the same fields, with the circuit's weights left out. Volts and seconds.

    name: the circuit's; layers, units, full_scale: of its arrays; notes: how it was mapped.
    unfinished: the run was stopped after `duration`; `transient(…, resume=path)` goes on with it.
    versions: of dsmachine, numpy, h5py, python; written: ISO 8601; extra: what was saved beside the run.
    """

    name: str
    analysis: str
    outputs: Mapping[str, Array]
    settling_time: Array | None
    by_array: dict[str, float]
    noise_rms: dict[str, float]
    duration: float
    observed: dict[str, Record]
    saturated: dict[str, int]
    statistics: dict[str, Any]
    temperature: float
    layers: dict[str, str]
    notes: dict[str, Any]
    units: dict[str, Array]
    full_scale: dict[str, Array]
    versions: dict[str, str]
    written: str
    unfinished: bool
    extra: dict[str, Any]

    def _name(self) -> str:
        return self.name

    def _unit(self, name: str) -> Array:
        return self.units[name]

    def __repr__(self) -> str:
        return super().__repr__()[:-1] + (", unfinished)" if self.unfinished else ")")


# --- writing --------------------------------------------------------------------------------------


def save_run(
    run: Run,
    path: str | Path,
    *,
    overwrite: bool = False,
    extra: Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a run and `extra` to an HDF5 file: a killed process leaves the old file or a whole new one.

    extra: saved beside the run, by name: arrays, (array, unit) pairs, or anything that JSON can say.
    state: of a run that is not finished.
    Raises Error for an existing file without `overwrite`, a folder that takes no file, and values without a form.
    """
    with written_whole(path, overwrite=overwrite) as part:
        try:
            whole = hdf5.image(lambda file: _write(file, run, extra or {}, state))
        except (TypeError, ValueError) as problem:
            raise Error(f"run file {path}: {problem}") from problem
        part.write_bytes(whole)


def _write(file: h5py.File, run: Run, extra: Mapping[str, Any], state: Mapping[str, Any] | None) -> None:
    circuit = run.circuit
    file.attrs["format"], file.attrs["format_version"] = np.bytes_(FORMAT), FORMAT_VERSION
    file.attrs["written"] = np.bytes_(datetime.now(UTC).isoformat(timespec="seconds"))
    hdf5.put_json(
        file,
        "about",
        {
            "circuit": circuit.name,
            "analysis": run.analysis,
            "temperature_k": circuit.temperature,
            "layers": {name: node.layer for name, node in circuit.arrays.items()},
            "notes": circuit.notes,
            "versions": versions(),
        },
    )
    hdf5.put_json(file, "statistics", run.statistics)
    hdf5.put(file, "duration", run.duration, "s")
    if run.settling_time is not None:
        hdf5.put(file, "settling_time", run.settling_time, "s")
    hdf5.put_table(file, "by_array", run.by_array, "s")
    hdf5.put_table(file, "noise_rms", run.noise_rms, "1")
    hdf5.put_table(file, "saturated", run.saturated, "1")
    hdf5.put_each(file, "outputs", run.outputs, "V")
    hdf5.put_each(file, "units", {n: circuit.units(n) for n in run.outputs}, "V")
    hdf5.put_each(file, "full_scale", {n: circuit.full_scale(n) * circuit.units(n) for n in run.outputs}, "V")
    observed = hdf5.group(file, "observed")
    for key, observer in run.observed.items():
        if isinstance(observer, Traced):
            _write_traces(hdf5.group(observed, key), observer.traces())
    _write_extra(hdf5.group(file, "extra"), extra)
    if state is not None:
        hdf5.put_tree(file, "state", state)


def _write_traces(parent: h5py.Group, traces: Mapping[str, Trace]) -> None:
    for name, trace in traces.items():
        inside = hdf5.group(parent, name)
        hdf5.put(inside, "times", trace.times, "s")
        hdf5.put(inside, "values", trace.values, trace.unit)
        if trace.nodes is not None:
            hdf5.put(inside, "nodes", trace.nodes, "1")
            hdf5.put(inside, "shape", np.array(trace.shape, int), "1")


def _write_extra(parent: h5py.Group, extra: Mapping[str, Any]) -> None:
    for name, value in extra.items():
        if isinstance(value, np.ndarray):
            hdf5.put(parent, name, value, "1")
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray):
            hdf5.put(parent, name, value[0], str(value[1]))
        else:
            hdf5.put_json(parent, name, value)


def versions() -> dict[str, str]:
    """Of what wrote a file."""
    try:
        own = version("dsmachine")
    except PackageNotFoundError:
        own = "unknown"
    return {"dsmachine": own, "numpy": np.__version__, "h5py": h5py.__version__, "python": platform.python_version()}


# --- reading --------------------------------------------------------------------------------------


def load_run(path: str | Path) -> LoadedRun:
    """Reopen a run file.

    Raises Error for a file that is missing, not HDF5, not a run, newer than this dsmachine, truncated or damaged.
    """
    found: LoadedRun = opened(path, _read)
    return found


def load_state(path: str | Path) -> dict[str, Any]:
    """The state of an unfinished run file. Raises Error as `load_run` does, for a run that is finished, and for a state
    of another format than this."""

    def read(file: h5py.File) -> Any:
        if "state" not in file:
            return None
        if (version := int(file.attrs["format_version"])) < FORMAT_VERSION:
            raise Error(f"{path} is format {version}, this dsmachine goes on with {FORMAT_VERSION}: run it again")
        return hdf5.get_tree(file, "state")

    state = opened(path, read)
    if state is None:
        raise Error(f"run file {path} is of a finished run: there is nothing to go on with")
    return dict(state)


def opened(path: str | Path, read: Callable[[h5py.File], Any], kind: str = FORMAT, latest: int = FORMAT_VERSION) -> Any:
    """What `read` finds in a run file; kind, latest: its format, and the newest version of it that is known.

    Raises Error as `load_run` does."""
    _check_signature(path)
    try:
        with hdf5.open_to_read(Path(path)) as file:
            _check_format(file, path, kind, latest)
            return read(file)
    except Error:
        raise
    except Exception as problem:  # a damaged file may raise anything: h5py has no exception of its own
        log.debug("run file %s", path, exc_info=True)
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise Error(f"run file {path} is truncated or damaged ({reason}): write it again") from problem


def format_of(path: str | Path) -> str:
    """What kind of file of this program it is; "" of any other HDF5. Raises Error as `load_run` does."""
    _check_signature(path)
    try:
        with hdf5.open_to_read(Path(path)) as file:
            return _format(file)
    except Exception as problem:  # a damaged file may raise anything: h5py has no exception of its own
        raise Error(f"run file {path} is truncated or damaged ({problem}): write it again") from problem


def _check_signature(path: str | Path) -> None:
    checks.path("run file", path)
    try:
        if Path(path).is_dir():
            raise Error(f"run file {path} is a folder: name a file in it")
        with open(path, "rb") as file:
            start = file.read(len(SIGNATURE))
    except FileNotFoundError:
        raise Error(f"run file {path} does not exist: check the path") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise Error(f"run file {path} cannot be read ({reason}): check the path") from problem
    if start != SIGNATURE:
        found = "is empty" if not start else "is not HDF5"
        raise Error(f"run file {path} {found}: name a file that dsmachine wrote")


def _format(file: h5py.File) -> str:
    found = file.attrs.get("format")
    return found.decode(errors="replace") if isinstance(found, bytes) else ""


def _check_format(file: h5py.File, path: str | Path, kind: str, latest: int) -> None:
    found = _format(file)
    if found != kind:
        wanted, ours = kind.split()[1], found.startswith(FORMAT.split()[0])
        fix = f"a file that holds a {wanted}" if ours else "a file that dsmachine wrote"
        raise Error(f"{path} is {f'a {found}' if ours else 'HDF5'} but not a {wanted}: name {fix}")
    version = int(file.attrs["format_version"])
    if version > latest:
        raise Error(f"{path} is format {version}, this dsmachine reads up to {latest}: upgrade dsmachine")


def _read(file: h5py.File) -> LoadedRun:
    about = hdf5.get_json(file, "about")
    layers = dict(about["layers"])
    observed = hdf5.member(file, "observed", h5py.Group)
    return LoadedRun(
        name=str(about["circuit"]),
        analysis=str(about["analysis"]),
        outputs=hdf5.get_each(file, "outputs"),
        settling_time=hdf5.get(file, "settling_time") if "settling_time" in file else None,
        by_array=hdf5.get_table(file, "by_array"),
        noise_rms=hdf5.get_table(file, "noise_rms"),
        duration=float(hdf5.get(file, "duration")[0]),
        observed={key: _read_traces(key, traces, layers) for key, traces in hdf5.members(observed, h5py.Group)},
        saturated=hdf5.get_table(file, "saturated"),
        statistics=dict(hdf5.get_json(file, "statistics")),
        temperature=float(about["temperature_k"]),
        layers=layers,
        notes=dict(about["notes"]),
        units=hdf5.get_each(file, "units"),
        full_scale=hdf5.get_each(file, "full_scale"),
        versions=dict(about["versions"]),
        written=bytes(file.attrs["written"]).decode(),
        unfinished="state" in file,
        extra=_read_extra(hdf5.member(file, "extra", h5py.Group)),
    )


def _read_traces(key: str, parent: h5py.Group, layers: dict[str, str]) -> Record:
    record = {}
    for name, inside in hdf5.members(parent, h5py.Group):
        nodes = hdf5.get(inside, "nodes") if "nodes" in inside else None
        shape = tuple(int(n) for n in hdf5.get(inside, "shape")) if nodes is not None else ()
        values = hdf5.member(inside, "values", h5py.Dataset)
        record[name] = Trace(hdf5.get(inside, "times"), hdf5.numbers(values), hdf5.unit_of(values), nodes, shape)
    return Record(key, Named(record, f"trace of {key} in this file"), {name: layers.get(name, "") for name in record})


def _read_extra(parent: h5py.Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, dataset in hdf5.members(parent, h5py.Dataset):
        found[name] = hdf5.get_json(parent, name) if hdf5.unit_of(dataset) == "json" else hdf5.numbers(dataset)
    return found


__all__ = ["FORMAT_VERSION", "LoadedRun", "Record", "load_run", "load_state", "save_run"]
