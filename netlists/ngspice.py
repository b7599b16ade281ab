"""Runs a netlist text in ngspice and brings its waveforms back.

Two ways lead into the same simulator. ``pyspice`` loads libngspice through PySpice, in a fresh
process per run: its memory grows from run to run, and a crash of the C library must not take the
caller along. ``batch`` calls ``ngspice -b`` and reads the rawfile it leaves.

A netlist is untrusted text: names come from checkpoints, and ngspice executes ``.control`` blocks,
``*#`` comments and ``*ng_script`` titles, reads any file through ``.include`` and turns unknown
``.options`` into variables of its shell. :func:`check_netlist` therefore lets through a list of
cards known to be harmless, and nothing else. Neither way reads the user's ``.spiceinit``.
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
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..circuits.errors import Error

__all__ = ["Waveforms", "run_netlist", "ngspice_version", "check_netlist"]

Engine = Literal["pyspice", "batch"]
Array = NDArray[np.float64]

APT = "apt-get install ngspice libngspice0-dev"
PIP = "pip install 'dsmachine[spice]'"

# Resistor to subcircuit; not A: its code models read and write files, and start processes.
_ELEMENTS = frozenset("rclkviefghbswdqjmzxto")
_CARDS = frozenset(
    ".title .model .subckt .ends .param .func .options .option .opt .tran .print .save .ic "
    ".nodeset .temp .global .width .end".split()
)
_OPTION_CARDS = (".options", ".option", ".opt")
_OPTIONS = frozenset(
    "abstol reltol vntol chgtol trtol method maxord itl1 itl2 itl3 itl4 itl5 itl6 gmin gminsteps "
    "srcsteps gshunt rshunt cshunt pivrel pivtol xmu temp tnom noopiter noinit ramptime convstep "
    "convlimit bypass autostop interp savecurrents trytocompact minbreak oldlimit badmos3 defad "
    "defas defl defw scale seed warn maxwarns acct list node nomod nopage opts numdgt keepopinfo "
    "trap gear sparse klu".split()
)
_PLAIN = re.compile(r"[\t -_a-~]*")
_OPTION_NAME = re.compile(r"([A-Za-z_][\w.]*)\s*(?:=\s*[^\s=]+)?")
# Phrases with blanks, so that no node name can look like a failure.
_FAILED = re.compile(r"simulation\(s\) aborted|due to error!|fatal error|not parsed\.", re.I)
_DECISIVE = re.compile(r"singular matrix|timestep too small|shorted VSRC|inductor/voltage", re.I)
_CHATTER = re.compile(r"^(note|warning|trying|using|circuit:|\s*$)", re.I)


@dataclass(frozen=True)
class Waveforms:
    """Waveforms of one transient analysis on the time points that ngspice chose.

    ``values`` maps a node name to its volts and ``i(name)`` to the amperes through a source. Names
    are lower-case, as ngspice knows no other; indexing ignores case: ``waves["Y"]``.
    """

    time: Array = field(repr=False)
    """Time points [s], increasing; the first is later than 0 when the analysis says ``uic``."""
    values: Mapping[str, Array] = field(repr=False)
    engine: str
    """``pyspice`` or ``batch``."""
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

    def __getitem__(self, name: str) -> Array:
        """Waveform of a node, or of ``i(source)``."""
        try:
            return self.values[name.lower()]
        except KeyError:
            raise Error(f"no waveform '{name}' in ngspice's results: add it to .save") from None


def check_netlist(text: str) -> None:
    """Refuses a netlist that could make ngspice do anything but simulate.

    >>> check_netlist("rc\\nR1 a 0 1k\\nC1 a 0 1p\\n.tran 1n 5n uic\\n.end\\n")
    >>> check_netlist("title\\n.control\\nshell ls\\n.endc\\n.end\\n")
    Traceback (most recent call last):
        ...
    dsmachine.circuits.errors.Error: netlist line 2: card '.control' is not allowed: only \
elements, .subckt, .model, .param, .options, .tran, .save and .print are
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) - (lines[-1] == "") != len(text.splitlines()):
        raise Error("netlist holds control characters that end lines: leave only newlines")
    title = lines[0].strip()
    if not title or title[0] in ".+" or _is_command(title):
        raise Error(f"netlist title {title[:60]!r} is not allowed: start it with a word")
    analyses, card = 0, ""
    for number, line in enumerate(lines[1:], start=2):
        line = line.strip()
        if line:
            card = _check_line(line, card, f"netlist line {number}")
            analyses += line[0] == "." and card == ".tran"
    if analyses != 1:
        raise Error(f"netlist holds {analyses} .tran cards: write exactly one")


def _check_line(line: str, card: str, where: str) -> str:
    """One line after the title; `card`: what a continuation continues. Returns what the next one would."""
    if line[0] == "*":
        if _is_command(line):
            raise Error(f"{where}: comment {line[:60]!r} is a command to ngspice: reword it")
        return card
    if not _PLAIN.fullmatch(line):
        raise Error(f"{where}: {line[:60]!r} holds a back quote or is not printable ASCII")
    if line[0] == "+":
        if card in _OPTION_CARDS:
            _check_options(line[1:], where)
        return card
    if line[0] == ".":
        card = line.split(None, 1)[0].lower()
        _check_card(card, line, where)
        return card
    if line[0].lower() not in _ELEMENTS:
        raise Error(f"{where}: element '{line.split()[0][:60]}' of a kind not allowed")
    return line[0].lower()


def _is_command(comment: str) -> bool:
    return comment.startswith("*#") or comment.lower().startswith("*ng_script")


def _check_card(card: str, line: str, where: str) -> None:
    if card not in _CARDS:
        raise Error(
            f"{where}: card '{card[:60]}' is not allowed: only elements, .subckt, .model, .param, "
            ".options, .tran, .save and .print are"
        )
    if card in _OPTION_CARDS:
        _check_options(line[len(card) :], where)


def _check_options(text: str, where: str) -> None:
    # ngspice sets every option that it does not know as a variable of its shell.
    for name in _OPTION_NAME.findall(text):
        if name.lower() not in _OPTIONS:
            raise Error(f"{where}: option '{name[:60]}' is unknown: remove it")
    rest = _OPTION_NAME.sub(" ", text).split("$")[0].split(";")[0].strip()
    if rest:
        raise Error(f"{where}: option text '{rest[:60]}' is not understood: write name=value")


def ngspice_version() -> str:
    """Name and version of the installed ngspice, for example ``ngspice-39``."""
    command = _ngspice()
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60)
    found = re.search(r"ngspice-[\w.+]+", shown.stdout + shown.stderr)
    if found is None:
        raise Error(f"'{command} --version' does not look like ngspice: {APT}")
    return found[0]


def run_netlist(text: str, *, engine: Engine = "pyspice", timeout: float = 600.0) -> Waveforms:
    """Simulates ``text``, which holds one ``.tran`` card, and returns its waveforms.

    Args:
        text: the netlist, title first; :func:`check_netlist` says what may stand in it. All node
            voltages come back unless ``.save v(a) v(b) …`` names fewer: large netlists should.
        engine: ``pyspice`` (libngspice through PySpice) or ``batch`` (``ngspice -b``).
        timeout: wall-clock seconds after which the run is given up.

    Raises:
        Error: ngspice or PySpice is missing, or ngspice rejects the netlist, fails to converge,
            crashes, or takes too long.
    """
    if engine not in ("pyspice", "batch"):
        raise Error(f"engine '{engine}' is unknown: take 'pyspice' or 'batch'")
    check_netlist(text)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dsmachine-ngspice-") as folder:
        netlist = Path(folder) / "netlist.cir"
        netlist.write_text(text, encoding="utf-8")
        run = _run_pyspice if engine == "pyspice" else _run_batch
        result = run(Path(folder), netlist, timeout)
    if result.stamps.size == 0 or _FAILED.search(result.log):
        raise Error(f"ngspice rejects the netlist: {first_error(result.log)}")
    return Waveforms(
        time=result.stamps,
        values=result.values,
        engine=engine,
        version=result.version,
        log=result.log,
        seconds=time.perf_counter() - start,
        load_seconds=result.load_seconds,
        solve_seconds=result.solve_seconds,
    )


@dataclass(frozen=True)
class _Result:
    stamps: Array
    values: dict[str, Array]
    version: str
    log: str
    load_seconds: float | None
    solve_seconds: float | None


def _run_pyspice(folder: Path, netlist: Path, timeout: float) -> _Result:
    if importlib.util.find_spec("PySpice") is None:
        raise Error(f"PySpice is not installed: {PIP} (and {APT})")
    worker = Path(__file__).with_name("ngspice_worker.py")
    output = folder / "result.npz"
    # -P keeps this folder off the worker's import path.
    done = _start([sys.executable, "-P", str(worker), str(netlist), str(output)], folder, timeout)
    if done.returncode < 0:
        raise Error(f"libngspice crashed (signal {-done.returncode}): simplify the netlist")
    if not output.is_file():
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if said.startswith("OSError"):
            raise Error(f"libngspice cannot be loaded ({said[9:][:120]}): {APT}")
        raise Error(f"PySpice failed ({said[:160]}): {PIP}")
    with np.load(output, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        table = np.asarray(arrays["table"], dtype=np.float64)
    columns = dict(zip(map(_plain_name, about["names"]), table, strict=True))
    return _Result(
        stamps=columns.pop("time", np.empty(0)),
        values=columns,
        version=f"ngspice-{about['version']}",
        log=about["log"],
        load_seconds=about["load_seconds"],
        solve_seconds=about["solve_seconds"],
    )


def _run_batch(folder: Path, netlist: Path, timeout: float) -> _Result:
    version = ngspice_version()
    output = folder / "result.raw"
    done = _start([_ngspice(), "-n", "-b", "-r", str(output), str(netlist)], folder, timeout)
    log = done.stdout + done.stderr
    if done.returncode < 0:
        raise Error(f"ngspice crashed (signal {-done.returncode}): {first_error(log)}")
    columns = read_rawfile(output) if done.returncode == 0 and output.is_file() else {}
    return _Result(
        stamps=columns.pop("time", np.empty(0)),
        values=columns,
        version=version,
        log=log,
        load_seconds=_seconds(log, "Netlist loading time", "Netlist parsing time"),
        solve_seconds=_seconds(log, "Total analysis time (seconds)"),
    )


def _start(command: list[str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,  # so that no .spiceinit of the present folder is read
            env={**os.environ, "SPICE_ASCIIRAWFILE": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise Error(f"ngspice took longer than {timeout:g} s: raise the timeout or take a smaller tile") from None


def _ngspice() -> str:
    command = shutil.which("ngspice")
    if command is None:
        raise Error(f"ngspice is not installed: {APT}")
    return command


def _seconds(log: str, *titles: str) -> float | None:
    """Sum of what ``.options acct`` printed under these titles, or None if it did not."""
    found = [re.search(rf"^{re.escape(title)} = (\S+)", log, re.M) for title in titles]
    return sum(float(match[1]) for match in found if match) if all(found) else None


def _plain_name(name: str) -> str:
    """One spelling for both engines: ``v(y)`` is ``y``, and ``v1#branch`` is ``i(v1)``.

    >>> [_plain_name(name) for name in ("v(y.3)", "V1#branch", "i(v1)", "time")]
    ['y.3', 'i(v1)', 'i(v1)', 'time']
    """
    name = name.lower()
    if name.startswith("v(") and name.endswith(")"):
        return name[2:-1]
    return f"i({name[:-7]})" if name.endswith("#branch") else name


def first_error(log: str) -> str:
    """The line of ngspice's log that says what is wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if match := _DECISIVE.search(line):
            return line[max(0, line.rfind(":", 0, match.start()) + 1) :].strip()[:200]
    wrong = re.compile(r"error|undefined|cannot|can't|unknown|missing|not ", re.I)
    for index, line in enumerate(lines):
        if wrong.search(line) and not _CHATTER.match(line):
            tail = lines[index + 1 : index + 3] if line.endswith(":") else []
            return " ".join([line, *tail])[:200]
    return "no message; was the netlist empty?"


def read_rawfile(path: Path) -> dict[str, Array]:
    """Columns of a binary rawfile with one real-valued plot, by node name."""
    head, mark, data = path.read_bytes().partition(b"Binary:\n")
    text = head.decode("ascii", "replace")
    variables = re.search(r"^No\. Variables: (\d+)", text, re.M)
    points = re.search(r"^No\. Points: (\d+)", text, re.M)
    if not mark or variables is None or points is None:
        raise Error(f"ngspice left a rawfile that cannot be read, '{path.name}': run it again")
    width, length = int(variables[1]), int(points[1])
    names = [line.split()[1] for line in text.split("Variables:\n")[1].splitlines()[:width]]
    table = np.frombuffer(data, dtype=np.float64, count=width * length).reshape(length, width)
    columns = np.ascontiguousarray(table.T)
    return dict(zip(map(_plain_name, names), columns, strict=True))
