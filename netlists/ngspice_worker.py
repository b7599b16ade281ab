"""Runs one netlist in libngspice through PySpice: ``python ngspice_worker.py NETLIST RESULT``.

:mod:`dsmachine.netlists.ngspice` starts this file by its path, in a process of its own. It must not
import dsmachine, and nothing else may import PySpice, which is GPL-3 and optional.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ANALYSES = ("tran", "dc", "ac", "noise", "op")


def main(netlist: Path, result: Path) -> None:
    """Simulates ``netlist``; leaves waveforms, log and times in ``result`` (.npz), and meanwhile prints how far it is,
    such as ``tran: 12.3%``."""
    logging.disable(logging.CRITICAL)
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared

    class Telling(NgSpiceShared):  # type: ignore[misc]
        def send_stat(self, message: str, ngspice_id: int) -> int:
            print(message, flush=True)
            return 0

    os.environ["HOME"] = str(result.parent)  # so that no .spiceinit of the user is read
    ng = Telling.new_instance(send_data=False)
    log: list[str] = []
    start = time.perf_counter()
    attempt(ng, log, lambda: ng.load_circuit(netlist.read_text(encoding="utf-8")))
    loaded = time.perf_counter()
    attempt(ng, log, ng.run)
    solved = time.perf_counter()
    plots = [name for name in ng.plot_names if name.startswith(ANALYSES)]  # .noise leaves two
    waves = {key: wave for name in plots for key, wave in ng.plot(simulation=None, plot_name=name).items()}
    about = {
        "names": list(waves),
        "version": ng.ngspice_version,
        "log": "\n".join(log),
        "load_seconds": loaded - start,
        "solve_seconds": solved - loaded,
    }
    columns: dict[str, Any] = {f"column {k}": wave._data for k, wave in enumerate(waves.values())}
    np.savez(result, about=np.array(json.dumps(about)), **columns)


def attempt(ng: Any, log: list[str], action: Any) -> None:
    """Performs ``action`` and appends what ngspice said.

    PySpice raises on any line that looks like an error to it, harmless notes among them. Whether
    the run failed is judged from the log and the results instead.
    """
    try:
        action()
    except Exception as reason:
        if type(reason).__module__.split(".")[0] != "PySpice" and not isinstance(reason, NameError):
            raise
    log += [*ng._stdout, *ng._stderr]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
