"""Runs one netlist in neospice: ``python neospice_worker.py NETLIST RESULT``, as ``ngspice_worker.py`` does in ngspice.

What neospice 0.2 stumbles over is spelled in another way before: colons and dots in names, and a parameter `i` beside
the I of a B source.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

NAME = re.compile(r"[A-Za-z_][\w.:]*")
PARAMETER = re.compile(r"(?<=[ {])i(?==[^=]|})")


def main(netlist: Path, result: Path) -> None:
    """Simulates ``netlist``; leaves waveforms, log and times in ``result`` (.npz)."""
    import neospice

    text = netlist.read_text(encoding="utf-8")
    start = time.perf_counter()
    columns: dict[str, Any] = {}
    log = ""
    try:
        columns = found(neospice.run(spelled(text)))
    except (RuntimeError, ValueError) as reason:
        log = f"Error: {reason}"
    known = {spelled(word).lower(): word.lower() for word in NAME.findall(text)}
    about = {
        "names": [known.get(name, name) for name in columns],
        "version": neospice.__version__,
        "log": log,
        "load_seconds": None,
        "solve_seconds": time.perf_counter() - start,
    }
    arrays: dict[str, Any] = {f"column {k}": np.asarray(column) for k, column in enumerate(columns.values())}
    np.savez(result, about=np.array(json.dumps(about)), **arrays)


def spelled(text: str) -> str:
    """Text, or a node's name, as neospice gets it.

    >>> spelled("V1 h.0:x 0 1.5")
    'V1 h_0__x 0 1.5'
    """
    text = re.sub(r"(?<=\w):(?=\w)", "__", text)
    text = re.sub(r"(?<=[A-Za-z_])(\w*)\.(?=\w)", r"\1_", text)
    return PARAMETER.sub("amperes", text)


def found(run: Any) -> dict[str, Any]:
    """Columns of the one analysis of a run, named as ngspice names them."""
    if run.noise is not None:
        noise = run.noise
        f = np.asarray(noise.frequency)
        columns = {"frequency": f, "onoise_spectrum": noise.output_noise_sqrt()}
        columns["inoise_spectrum"] = noise.input_noise_sqrt()
        columns["onoise_total"] = [noise.integrated_output_noise(f[0], f[-1])]
        columns["inoise_total"] = [noise.integrated_input_noise(f[0], f[-1])]
        return columns
    for kind, axis, name in AXES:
        analysis = getattr(run, kind)
        if analysis is not None:
            columns = {name: getattr(analysis, axis)} if axis else {}
            for signal in map(str.lower, analysis.signal_names()):
                key = signal.partition("(")[2].removesuffix(")")
                volts = signal.startswith("v(")
                value = analysis.voltage(key) if volts else analysis.current(key)
                columns[key if volts else signal] = np.atleast_1d(value)
            return columns
    return {}


AXES = (
    ("transient", "time", "time"),
    ("dc_sweep", "sweep_values", "v-sweep"),
    ("ac", "frequency", "frequency"),
    ("dc", "", ""),
)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
