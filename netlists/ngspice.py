"""Runs a netlist text in ngspice, or in neospice for a second opinion, and brings its waveforms back.

Two ways lead into ngspice. ``pyspice`` loads libngspice through PySpice, in a fresh process per run: its memory grows
from run to run, and a crash of the C library must not take the caller along. ``batch`` calls ``ngspice -b`` and reads
the rawfile it leaves. ``neospice`` is another simulator, with BSIM4 written anew; it knows fewer cards.

A netlist is untrusted text: :func:`.allowed.check_netlist` says what may stand in it. No way reads the user's
``.spiceinit``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..circuits import checks
from ..circuits.errors import Error, shown
from .allowed import check_netlist
from .rawfile import plain_name, read_rawfile

__all__ = ["Waveforms", "run_netlist", "ngspice_version"]

Engine = Literal["pyspice", "batch", "neospice"]
Array = NDArray[Any]
Told = Callable[[str, float | None], None]  # what is under way, and which share of it is done, if that is known

APT = "apt-get install ngspice libngspice0-dev"
PIP = "pip install 'dsmachine[spice]'"
RIVALS = "pip install 'dsmachine[rivals]'"
# ngspice evaluates BSIM in OpenMP threads that spin while they wait: where other work shares the cores, one transistor
# swept over 9,000 points took 5 to 60 s with two threads and 0.14 s with one.
ALONE = {"OMP_THREAD_LIMIT": "1"}
AXES = ("time", "v-sweep", "i-sweep", "i(i-sweep)", "temp-sweep", "res-sweep", "frequency")

# Phrases with blanks, so that no node name can look like a failure.
_FAILED = re.compile(r"simulation\(s\) aborted|due to error!|fatal error|not parsed\.|setting level to 1\b", re.I)
_DECISIVE = re.compile(r"singular matrix|timestep too small|shorted VSRC|inductor/voltage", re.I)
_UNHEARD = re.compile(r"\b(delvto|mulu0)\s*=", re.I)
_SHARE = re.compile(r"(\w+): +(\d+\.\d+)%")
_DOES = {"Circuit2": "reads the netlist", "tran": "solves"}
_CHATTER = re.compile(r"^(note|warning|trying|using|circuit:|\s*$)", re.I)


@dataclass(frozen=True)
class Waveforms:
    """What one analysis found, on the points that the simulator chose.

    ``values`` maps a node name to its volts and ``i(name)`` to the amperes through a source (complex after ``.ac``);
    ``.noise`` has ``onoise_spectrum`` and ``inoise_spectrum`` [V/√Hz] along the axis, ``onoise_total`` and
    ``inoise_total`` [V rms] of one value each. A sweep of two sources is the first one's, again for each value of the
    second. Names are lower-case, as ngspice knows no other; indexing ignores case: ``waves["Y"]``.
    """

    analysis: str
    """``tran``, ``dc``, ``ac``, ``noise`` or ``op``."""
    axis: Array = field(repr=False)
    """Time [s], the swept source's value, or frequency [Hz]; empty after ``.op``."""
    values: Mapping[str, Array] = field(repr=False)
    engine: str
    """``pyspice``, ``batch`` or ``neospice``."""
    version: str
    """For example ``ngspice-39``."""
    log: str = field(repr=False)
    seconds: float
    """Wall-clock seconds of the whole run, with starting the process and reading results."""
    load_seconds: float | None = None
    """Seconds in which ngspice parsed and expanded the netlist; ``batch`` needs ``.options acct``
    in the netlist to know."""
    solve_seconds: float | None = None
    """Seconds of the analysis itself, with the same proviso."""

    @property
    def time(self) -> Array:
        """Time points [s] of ``.tran``, increasing; the first is later than 0 when the analysis says ``uic``."""
        if self.analysis != "tran":
            raise Error(f"analysis .{self.analysis} has no time: ask for its axis")
        return self.axis

    def __getitem__(self, name: str) -> Array:
        """Waveform of a node, or of ``i(source)``."""
        try:
            return self.values[name.lower()]
        except KeyError:
            raise Error(f"no waveform '{name}' in ngspice's results: add it to .save") from None


def ngspice_version() -> str:
    """Name and version of the installed ngspice, for example ``ngspice-39``."""
    command = _ngspice()
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60)
    found = re.search(r"ngspice-[\w.+]+", shown.stdout + shown.stderr)
    if found is None:
        raise Error(f"'{command} --version' does not look like ngspice: {APT}")
    return found[0]


def silent(what: str, share: float | None) -> None:
    """Tells nobody."""


def run_netlist(text: str, *, engine: Engine = "pyspice", timeout: float = 600.0, told: Told = silent) -> Waveforms:
    """Simulates ``text``, which holds one analysis, and returns what it found.

    Args:
        text: the netlist, title first; :func:`.allowed.check_netlist` says what may stand in it. All node
            voltages come back unless ``.save v(a) v(b) …`` names fewer: large netlists should.
        engine: ``pyspice`` (libngspice through PySpice), ``batch`` (``ngspice -b``) or ``neospice``.
        timeout: wall-clock seconds after which the run is given up.
        told: told what ngspice does, and how much of it is done (``pyspice``; others do not say).

    Raises:
        Error: the engine is missing, or it rejects the netlist, fails to converge, crashes, or takes too long.
    """
    checks.number("timeout", timeout, "give seconds, above 0 and up to 1e6", above=0, most=1e6)
    if not checks.among(engine, _RUNS):
        raise Error(f"engine {shown(engine)} is unknown: take 'pyspice', 'batch' or 'neospice'")
    analysis = check_netlist(text)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dsmachine-ngspice-") as folder:
        netlist = Path(folder) / "netlist.cir"
        netlist.write_text(text, encoding="utf-8")
        result = _RUNS[engine](Path(folder), netlist, timeout, told)
    columns = dict(result.columns)
    axis = next((columns.pop(name).real for name in AXES if name in columns), np.empty(0))
    if not columns or (axis.size == 0 and analysis != "op") or _FAILED.search(result.log):
        raise Error(f"{result.version.split('-')[0]} rejects the netlist: {first_error(result.log)}")
    return Waveforms(
        analysis=analysis,
        axis=axis,
        values=columns,
        engine=engine,
        version=result.version,
        log=result.log,
        seconds=time.perf_counter() - start,
        load_seconds=result.load_seconds,
        solve_seconds=result.solve_seconds,
    )


@dataclass(frozen=True)
class _Result:
    columns: dict[str, Array]
    version: str
    log: str
    load_seconds: float | None = None
    solve_seconds: float | None = None


def _run_pyspice(folder: Path, netlist: Path, timeout: float, told: Told) -> _Result:
    if importlib.util.find_spec("PySpice") is None:
        raise Error(f"PySpice is not installed: {PIP} (and {APT})")
    return _worked("ngspice", "PySpice", PIP, folder, netlist, timeout, told)


def _run_neospice(folder: Path, netlist: Path, timeout: float, told: Told) -> _Result:
    if importlib.util.find_spec("neospice") is None:
        raise Error(f"neospice is not installed: {RIVALS}")
    if _UNHEARD.search(netlist.read_text(encoding="utf-8")):
        raise Error("engine 'neospice' ignores delvto and mulu0 (corners): take 'pyspice' or 'batch'")
    return _worked("neospice", "neospice", RIVALS, folder, netlist, timeout, told)


def _worked(name: str, package: str, pip: str, folder: Path, netlist: Path, timeout: float, told: Told) -> _Result:
    """What ``NAME_worker.py`` leaves; it runs in a process of its own."""
    worker = Path(__file__).with_name(f"{name}_worker.py")
    output = folder / "result.npz"
    # -P keeps this folder off the worker's import path.
    command = [sys.executable, "-P", str(worker), str(netlist), str(output)]
    done = _start(command, folder, timeout, lambda line: _tell(line, told))
    if done.returncode < 0:
        library = "libngspice" if name == "ngspice" else name
        raise Error(f"{library} crashed (signal {-done.returncode}): simplify the netlist")
    if not output.is_file():
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if said.startswith("OSError"):
            raise Error(f"libngspice cannot be loaded ({said[9:][:120]}): {APT}")
        raise Error(f"{package} failed ({said[:160]}): {pip}")
    with np.load(output, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        columns = {plain_name(key): arrays[f"column {k}"] for k, key in enumerate(about["names"])}
    return _Result(
        columns=columns,
        version=f"{name}-{about['version']}",
        log=about["log"],
        load_seconds=about["load_seconds"],
        solve_seconds=about["solve_seconds"],
    )


def _tell(line: str, told: Told) -> None:
    """What a line of the worker says of its progress."""
    found = _SHARE.fullmatch(line.strip())
    if found and found[1] in _DOES:
        told(f"ngspice {_DOES[found[1]]}", float(found[2]) / 100)


def _run_batch(folder: Path, netlist: Path, timeout: float, told: Told) -> _Result:
    version = ngspice_version()
    output = folder / "result.raw"
    done = _start([_ngspice(), "-n", "-b", "-r", str(output), str(netlist)], folder, timeout)
    log = done.stdout + done.stderr
    if done.returncode < 0:
        raise Error(f"ngspice crashed (signal {-done.returncode}): {first_error(log)}")
    return _Result(
        columns=read_rawfile(output) if done.returncode == 0 and output.is_file() else {},
        version=version,
        log=log,
        load_seconds=_seconds(log, "Netlist loading time", "Netlist parsing time"),
        solve_seconds=_seconds(log, "Total analysis time (seconds)"),
    )


_RUNS = {"pyspice": _run_pyspice, "batch": _run_batch, "neospice": _run_neospice}


def _start(
    command: list[str], folder: Path, timeout: float, heard: Callable[[str], None] = lambda line: None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. heard: told every line on its stdout as it comes."""
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            command,
            cwd=folder,  # so that no .spiceinit of the present folder is read
            env={**ALONE, **os.environ, "SPICE_ASCIIRAWFILE": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        ) as process,
    ):
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        limit = threading.Timer(timeout, give_up)
        limit.start()
        lines: list[str] = []
        try:
            for line in process.stdout or ():
                lines.append(line)
                heard(line)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            limit.cancel()
        if late.is_set():
            raise Error(f"ngspice took longer than {timeout:g} s: raise the timeout or take a smaller tile")
        errors.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, "".join(lines), errors.read())


def _ngspice() -> str:
    command = shutil.which("ngspice")
    if command is None:
        raise Error(f"ngspice is not installed: {APT}")
    return command


def _seconds(log: str, *titles: str) -> float | None:
    """Sum of what ``.options acct`` printed under these titles, or None if it did not."""
    found = [re.search(rf"^{re.escape(title)} = (\S+)", log, re.M) for title in titles]
    return sum(float(match[1]) for match in found if match) if all(found) else None


def first_error(log: str) -> str:
    """The line of ngspice's log that says what is wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if match := _DECISIVE.search(line):
            return line[max(0, line.rfind(":", 0, match.start()) + 1) :].strip()[:200]
    wrong = re.compile(r"error|undefined|illegal|cannot|can't|unknown|missing|not ", re.I)
    for index, line in enumerate(lines):
        if wrong.search(line) and not _CHATTER.match(line):
            tail = lines[index + 1 : index + 3] if line.endswith(":") else []
            return " ".join([line, *tail])[:200]
    return "no message; was the netlist empty?"
