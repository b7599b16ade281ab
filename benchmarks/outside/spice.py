"""ngspice and neospice on the netlist that `write_netlist` writes, waveforms between their points by PCHIP.

Seconds of ngspice are parsing and solving by its own clock, without starting a process, the fastest of REPEATS runs;
of neospice those of its one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from common import Seconds
from scipy.interpolate import PchipInterpolator

from dsmachine.netlists.ngspice import Engine, Waveforms, run_netlist
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


ENGINES: Mapping[str, Engine] = {"ngspice": "pyspice", "neospice": "neospice"}


def timed(text: str, engine: Engine) -> tuple[Seconds, Waveforms]:
    """(seconds, waveforms) of a netlist."""
    runs = [run_netlist(text, engine=engine, timeout=3600) for _ in range(REPEATS if engine == "pyspice" else 1)]
    fastest = min((run.load_seconds or 0.0) + (run.solve_seconds or 0.0) for run in runs)
    return Seconds(fastest, fastest), runs[-1]


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
        seconds, waves = timed(netlist.text, ENGINES[engine])
        setting = " ".join(f"{key}={value:g}" for key, value in options.items())
        yield row(case, engine, setting, "float64", seconds, _sampled(case, netlist, waves), steps=len(waves.time))
        if case.clock(seconds) > cap:
            return


def _sampled(case: Case, netlist: Netlist, waves: Waveforms) -> Sampled:
    values, points = {}, waves.time
    for name, nodes in case.index.items():
        names = np.asarray(netlist.nodes[name])[nodes]
        rows = np.stack([waves[str(node)] for node in names], axis=1)
        if points[0] > 0:  # it starts from zero, and does not say so
            rows = np.concatenate([np.zeros((1, rows.shape[1])), rows])
        at = np.concatenate([np.zeros(int(points[0] > 0)), points])
        at, first = np.unique(at, return_index=True)
        found = PchipInterpolator(at, rows[first], axis=0)(np.minimum(case.times, at[-1]))
        values[name] = found / case.circuit.units(name)[nodes]
    return case.sampled(values)
