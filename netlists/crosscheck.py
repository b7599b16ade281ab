"""Cross-check: ngspice on a circuit, tile or block, the emulator on the same inputs and SPICE's time points.

    error of a node   rms over time (ngspice's points, trapezoid) of v_emulator − v_ngspice, over its full scale
    NRMSE of an array rms over its nodes; the worst array's is the result (DESIGN §2)

ngspice missing is an error: no formula ever stands in its place.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.cells.mos.design import Transistors
from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..emulator.files import write_text
from ..emulator.observers import Element, Probe
from ..emulator.plan import Plan
from ..emulator.run import transient
from .heat import HeatMeter
from .ngspice import Engine, Told, Waveforms, run_netlist, silent
from .selection import Selection
from .writer import Netlist, write_netlist

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
LIMIT = 1e-4  # NRMSE
ENERGY_LIMIT = 1e-3  # relative, total heat


@dataclass(frozen=True)
class Farthest:
    """The node of the worst array that is farthest off, by its name in the netlist.

    times [s]: ngspice's points; ours, spice [V]: what the emulator and ngspice have there.
    """

    node: str
    times: Array = field(repr=False)
    ours: Array = field(repr=False)
    spice: Array = field(repr=False)


@dataclass(frozen=True)
class CrossCheck:
    """What a cross-check found.

    title; nrmse: worst array; by_array: NRMSE of each; limit, energy_limit: what they may be.
    heat_emulator, heat_spice [J] by part, empty if not asked for.
    engine, version: which ngspice, by which way; options: the netlist's, max_step in seconds; tolerance: emulator's.
    points: ngspice's time points; nodes: compared; duration [s] of circuit time.
    seconds: wall clock of parse, solve, emulate and write. farthest: the worst node, which `plot` shows.
    netlist, log, picture: files kept, if any.
    """

    title: str
    nrmse: float
    by_array: Mapping[str, float] = field(repr=False)
    limit: float
    heat_emulator: Mapping[str, float] = field(repr=False)
    heat_spice: Mapping[str, float] = field(repr=False)
    energy_limit: float
    engine: str
    version: str
    options: Mapping[str, str | float] = field(repr=False)
    tolerance: float
    points: int
    nodes: int
    duration: float
    seconds: Mapping[str, float | None] = field(repr=False)
    farthest: Farthest = field(repr=False)
    netlist: Path | None = None
    log: Path | None = None
    picture: Path | None = None

    @property
    def worst(self) -> str:
        """The array of largest NRMSE."""
        return max(self.by_array, key=lambda name: self.by_array[name])

    @property
    def energy_ratio(self) -> float | None:
        """Total heat, emulator / ngspice; None if not asked for."""
        if not self.heat_spice:
            return None
        total = sum(self.heat_spice.values())
        return sum(self.heat_emulator.values()) / total if total else float("nan")

    @property
    def passed(self) -> bool:
        """NRMSE and, if asked for, total heat within their limits."""
        energy = self.energy_ratio is None or abs(self.energy_ratio - 1) <= self.energy_limit
        return self.nrmse <= self.limit and energy

    def plot(self) -> Figure:
        """The farthest node as both have it; see `plotting.plot_crosscheck`."""
        from .plotting import plot_crosscheck

        return plot_crosscheck(self)


def crosscheck(
    machine: Circuit | Chip,
    *,
    select: str | Selection | None = None,
    inputs: Mapping[str, Any] | None = None,
    position: int | None = None,
    initial: Mapping[str, Any] | None = None,
    duration: float | None = None,
    level: str = "behavioural",
    transistors: Transistors | None = None,
    energy: bool = False,
    engine: Engine = "pyspice",
    options: Mapping[str, str | float] | None = None,
    tolerance: float = 1e-6,
    limit: float = LIMIT,
    energy_limit: float = ENERGY_LIMIT,
    folder: str | Path | None = None,
    keep: bool = False,
    timeout: float = 600.0,
    told: Told = silent,
) -> CrossCheck:
    """Run ngspice and the emulator on the same part and inputs, and compare every free node's voltage.

    select … energy, options: as for `write_netlist`. engine: "pyspice" (libngspice) or "batch" (`ngspice -b`).
    tolerance: the emulator's; it runs in float64. limit: NRMSE that passes. energy: compare heat too.
    folder: where netlist, log and plot are left if the check fails, or with keep=True (None: a new temporary one).
    told: told what is under way, and which share of it is done (None: not known), for progress bars.

    Raises Error when ngspice is missing or rejects the netlist, and as `write_netlist` does.
    """
    begun = time.perf_counter()
    told("write the netlist", None)
    netlist = write_netlist(
        machine, select=select, inputs=inputs, position=position, initial=initial, duration=duration, level=level,
        transistors=transistors, energy=energy, options=options,
    )  # fmt: skip
    if transistors is not None and transistors.conveyor == "ideal":
        netlist = _without_rails(netlist)
    written = time.perf_counter()
    try:
        told("ngspice", None)
        waves = run_netlist(netlist.text, engine=engine, timeout=timeout, told=told)
    except Error as problem:
        where = _new_folder(folder)
        write_text(where / "netlist.cir", netlist.text, overwrite=True)
        raise Error(f"{problem} (netlist kept: {where / 'netlist.cir'})") from problem
    simulated = time.perf_counter()
    probe, meter = emulate(netlist, waves.time, tolerance, energy=energy, told=told)
    by_array = compare(netlist, waves, probe)
    found = CrossCheck(
        title=netlist.title,
        nrmse=max(by_array.values()),
        by_array=by_array,
        limit=limit,
        heat_emulator={part: meter.joules[part] for part in netlist.heat},
        heat_spice={part: float(waves[node][-1]) * joules for part, (node, joules) in netlist.heat.items()},
        energy_limit=energy_limit,
        engine=waves.engine,
        version=waves.version,
        options=netlist.options,
        tolerance=tolerance,
        points=len(waves.time),
        nodes=sum(len(_present(netlist, name)) for name in netlist.saved),
        duration=netlist.bench.duration,
        seconds={
            "write": written - begun,
            "parse": waves.load_seconds,
            "solve": waves.solve_seconds,
            "ngspice": simulated - written,
            "emulate": time.perf_counter() - simulated,
        },
        farthest=_farthest(netlist, waves, probe, max(by_array, key=by_array.__getitem__)),
    )
    return found if found.passed and not keep else _kept(found, netlist, waves, _new_folder(folder))


def _without_rails(netlist: Netlist) -> Netlist:
    """The emulator's side of a netlist whose conveyors are sources: nothing limits their current."""
    circuit = netlist.bench.circuit
    free = [replace(node, rail=None) for node in circuit.arrays.values() if not node.clamped]
    return replace(netlist, bench=replace(netlist.bench, circuit=circuit.with_terms((), free)))


def emulate(
    netlist: Netlist, times: Array, tolerance: float, *, energy: bool = False, told: Told = silent
) -> tuple[Probe, HeatMeter]:
    """The emulator on a netlist's bench: its voltages at `times`, and the heat of its parts."""
    bench, meter = netlist.bench, HeatMeter()
    duration = max(bench.duration, float(times[-1]))
    probe, clock = Probe(list(netlist.saved), times=times), _Clock(duration, told)
    transient(
        bench.circuit, bench.inputs, initial=bench.initial or None, duration=duration, settle_bits=0,
        tolerance=tolerance, precision="float64", observers=[probe, clock, *([meter] if energy else [])],
    )  # fmt: skip
    return probe, meter


class _Clock:
    """Observer: tells which share of the duration [s] the emulator has reached."""

    def __init__(self, duration: float, told: Told) -> None:
        self.duration, self.told = duration, told

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self.told("emulator", 0.0)

    def element(self, element: Element) -> None:
        """Within a window groups are at times of their own."""

    def window(self, time: float) -> None:
        self.told("emulator", min(time / self.duration, 1.0))


def compare(netlist: Netlist, waves: Waveforms, probe: Probe) -> dict[str, float]:
    """NRMSE of each free array; over the nodes that exist, time weighted."""
    found = {}
    span = waves.time[-1] - waves.time[0]
    for name in netlist.saved:
        ours, spice = _voltages(netlist, waves, probe, name)
        node = netlist.bench.circuit.arrays[name]
        scale = np.broadcast_to(np.asarray(node.full_scale, float), node.shape)[_here(netlist, name)]
        square = ((ours - spice) / scale) ** 2
        found[name] = float(np.sqrt((np.trapezoid(square, waves.time, axis=0) / span).mean()))
    return found


def _voltages(netlist: Netlist, waves: Waveforms, probe: Probe, name: str) -> tuple[Array, Array]:
    """An array's voltages as the emulator and ngspice have them, (points, nodes that exist) each."""
    spice = np.stack([waves[node] for node in _present(netlist, name)], axis=1)
    shape = netlist.bench.circuit.arrays[name].shape
    return probe.volts(name)[:, 0].reshape(len(waves.time), *shape)[:, _here(netlist, name)], spice


def _here(netlist: Netlist, name: str) -> Array:
    return netlist.bench.circuit.arrays[name].present


def _present(netlist: Netlist, name: str) -> list[str]:
    """SPICE nodes of an array that exist."""
    return list(netlist.nodes[name][_here(netlist, name)])


def _farthest(netlist: Netlist, waves: Waveforms, probe: Probe, name: str) -> Farthest:
    ours, spice = _voltages(netlist, waves, probe, name)
    k = int(np.abs(ours - spice).max(axis=0).argmax())
    return Farthest(_present(netlist, name)[k], waves.time, ours[:, k], spice[:, k])


# --- what is kept ---------------------------------------------------------------------------------------


def _new_folder(folder: str | Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="dsmachine-crosscheck-"))
    where = Path(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Error(f"folder {folder} cannot be made ({problem.strerror}): name another") from problem
    return where


def _kept(found: CrossCheck, netlist: Netlist, waves: Waveforms, folder: Path) -> CrossCheck:
    """The result with netlist, log and plot left in `folder`."""
    paths = {"netlist": folder / "netlist.cir", "log": folder / "ngspice.log", "plot": folder / "crosscheck.png"}
    write_text(paths["netlist"], netlist.text, overwrite=True)
    write_text(paths["log"], waves.log, overwrite=True)
    found.plot().savefig(paths["plot"], dpi=120)
    return replace(found, netlist=paths["netlist"], log=paths["log"], picture=paths["plot"])
