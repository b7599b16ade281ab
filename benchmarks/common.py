"""What the benchmarks share: waveform error by the strict definition, medians, and result tables with their origin."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.observers import Probe

RESULTS = Path(__file__).parent / "results"


def free_arrays(circuit: Circuit) -> list[str]:
    """Names of the arrays that are solved for."""
    return [name for name, node in circuit.arrays.items() if not node.clamped]


def nrmse(circuit: Circuit, probe: Probe, reference: Probe, until: float) -> tuple[float, str]:
    """(NRMSE, array) of the worst array: rms over the probed nodes that exist and times up to `until` of Δv / full
    scale."""
    worst = (0.0, "")
    for name, nodes in reference.index.items():
        times = reference.times(name)
        node = circuit.arrays[name]
        error = (probe.volts(name) - reference.volts(name))[times <= until]
        error = error / np.broadcast_to(node.full_scale, node.shape)[nodes]
        error = error[:, :, node.present[nodes]]
        found = float(np.sqrt((error**2).mean()))
        worst = max(worst, (found if math.isfinite(found) else math.inf, name))  # what is no number is no match
    return worst


def settled_by_layer(circuit: Circuit, run: ds.Run) -> dict[str, float]:
    """Seconds until the last array of each layer has settled."""
    found: dict[str, float] = {}
    for array, seconds in run.by_array.items():
        layer = circuit.arrays[array].layer
        found[layer] = max(found.get(layer, 0.0), seconds)
    return found


def timed(task: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """(median seconds, last result) of `repeats` calls."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        result = task()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), result


def waiting(device: str) -> Callable[[], None]:
    """Waits until a device is done."""
    if device == "numpy":
        return lambda: None
    import cupy

    return lambda: cupy.cuda.Device().synchronize()


@dataclass(frozen=True)
class Seconds:
    """By the clock on the wall, and of this process on its processors, which others on shared cores hardly stretch."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.perf_counter(), time.process_time())

    def since(self, begun: Seconds) -> Seconds:
        return Seconds(self.wall - begun.wall, self.cpu - begun.cpu)

    def times(self, factor: float) -> Seconds:
        return Seconds(self.wall * factor, self.cpu * factor)

    @classmethod
    def median(cls, taken: Sequence[Seconds]) -> Seconds:
        return cls(statistics.median(t.wall for t in taken), statistics.median(t.cpu for t in taken))


def seconds_of(
    task: Callable[[], Any], wait: Callable[[], Any], repeats: int, warm: int = 0
) -> tuple[Seconds, Seconds, Any]:
    """(median of the latest, the first, last result) of warm + repeats calls; wait: until the device is done."""
    taken, result = [], None
    for _ in range(warm + repeats):
        wait()
        begun = Seconds.now()
        result = task()
        wait()
        taken.append(Seconds.now().since(begun))
    return Seconds.median(taken[warm:]), taken[0], result


def origin() -> dict[str, Any]:
    """Where and with what the rows were measured."""
    root = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    return {
        "dsmachine": ds.__version__,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def save(name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write benchmarks/results/<name>.json, with what else there is, and .md and print the table."""
    RESULTS.mkdir(exist_ok=True)
    about = origin()
    (RESULTS / f"{name}.json").write_text(json.dumps({"origin": about, "rows": rows, **more}, indent=1) + "\n")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_cell(row.get(key, "")) for key in keys) + " |" for row in rows]
    said = ", ".join(f"{key} {value}" for key, value in about.items())
    text = "\n".join(lines)
    (RESULTS / f"{name}.md").write_text(f"{text}\n\n{said}\n")
    sys.stdout.write(text + "\n")


def keep(name: str, order: Iterable[str], row: dict[str, Any], account: dict[str, Any]) -> None:
    """Put a model's row and account beside those that the result file has, in the order of the tables."""
    path = RESULTS / f"{name}.json"
    held = json.loads(path.read_text()) if path.exists() else {"rows": [], "accounts": {}}
    rows = {old["model"]: old for old in held["rows"]} | {row["model"]: row}
    save(name, [rows[model] for model in order if model in rows], accounts=held["accounts"] | {row["model"]: account})


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
