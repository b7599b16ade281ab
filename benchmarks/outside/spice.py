"""ngspice and neospice on the netlist that `write_netlist` writes, waveforms between their points by PCHIP.

Seconds of ngspice are parsing and solving by its own clock, without starting a process, the fastest of REPEATS runs;
of neospice those of its `run`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from common import Seconds
from scipy.interpolate import PchipInterpolator

from dsmachine.netlists.ngspice import run_netlist
from dsmachine.netlists.writer import Netlist, write_netlist

from .cases import Case, Row, Sampled, left_out, row

Array = Any
LARGEST = 3000  # nodes
REPEATS = 3
SETTINGS = (  # loose to tight
    {"reltol": 1e-3, "trtol": 7, "max_step": 1.0},
    {"reltol": 1e-4, "trtol": 7, "max_step": 0.5},
    {"reltol": 1e-4, "trtol": 7, "max_step": 0.25},
    {"reltol": 1e-5, "trtol": 2, "max_step": 0.25},
    {"reltol": 1e-6, "trtol": 1, "max_step": 0.1},
)


# what neospice 0.2.0 stumbles over: colons in V(…), dots in names, a parameter `i` beside the I of a B source
COLON, DOT = re.compile(r"(?<=\w):(?=\w)"), re.compile(r"(?<=[A-Za-z_])(\w*)\.(?=\w)")
PARAMETER = re.compile(r"(?<=[ {])i(?==[^=]|})")


def by_ngspice(text: str) -> tuple[Seconds, Array, Mapping[str, Array]]:
    """(seconds, time points, volts by node)."""
    fastest = float("inf")
    for _ in range(REPEATS):
        waves = run_netlist(text, timeout=3600)
        assert waves.load_seconds is not None and waves.solve_seconds is not None
        fastest = min(fastest, waves.load_seconds + waves.solve_seconds)
    return Seconds(fastest, fastest), waves.time, waves.values


def by_neospice(text: str) -> tuple[Seconds, Array, Mapping[str, Array]]:
    """(seconds, time points, volts by node)."""
    import neospice

    text = PARAMETER.sub("amperes", plain(text))
    begun = Seconds.now()
    found = neospice.run(text).transient
    seconds = Seconds.now().since(begun)
    names = [name.removeprefix("v(").removesuffix(")") for name in map(str.lower, found.signal_names())]
    return seconds, np.asarray(found.time), {name: np.asarray(found.voltage(name)) for name in names if "#" not in name}


def plain(node: str) -> str:
    """Text, or a node's name, as neospice gets it."""
    return DOT.sub(r"\1_", COLON.sub("__", node))


ENGINES = {"ngspice": (by_ngspice, str), "neospice": (by_neospice, plain)}


def simulated(case: Case, engine: str, cap: float) -> Iterator[Row]:
    """Rows of one simulator, loose to tight settings."""
    if case.nodes > LARGEST:
        yield left_out(case, engine, "float64", f"{case.nodes} nodes")
        return
    for options in SETTINGS:
        netlist = write_netlist(case.circuit, inputs=case.inputs, duration=case.end, options=options)
        if engine == "neospice" and " ? " in netlist.text:
            why = "its B sources know no condition, which rails and controlled feedback need"
            yield left_out(case, engine, "float64", why)
            return
        run, called = ENGINES[engine]
        seconds, points, volts = run(netlist.text)
        setting = " ".join(f"{key}={value:g}" for key, value in options.items())
        found = _sampled(case, netlist, points, volts, called)
        yield row(case, engine, setting, "float64", seconds, found, steps=len(points))
        if case.clock(seconds) > cap:
            return


def _sampled(
    case: Case, netlist: Netlist, points: Array, volts: Mapping[str, Array], called: Callable[[str], str]
) -> Sampled:
    values = {}
    for name, nodes in case.index.items():
        names = np.asarray(netlist.nodes[name])[nodes]
        rows = np.stack([volts[called(str(node)).lower()] for node in names], axis=1)
        if points[0] > 0:  # it starts from zero, and does not say so
            rows = np.concatenate([np.zeros((1, rows.shape[1])), rows])
        at = np.concatenate([np.zeros(int(points[0] > 0)), points])
        at, first = np.unique(at, return_index=True)
        found = PchipInterpolator(at, rows[first], axis=0)(np.minimum(case.times, at[-1]))
        values[name] = found / case.circuit.units(name)[nodes]
    return case.sampled(values)
