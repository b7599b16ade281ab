"""Small layers that train themselves, for tests of several folders."""

from __future__ import annotations

from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.ecl import EclLayer
from dsmachine.circuits.waveforms import Steps

Array = Any
RINGING = 50e-9  # a time constant of weights under which they move while the loss still settles


def layer(rows: int = 3, columns: int = 4, *, swing: float = 0.5, **options: Any) -> EclLayer:
    """Couplings of `columns` inputs into `rows` outputs, far from their rails and without leak unless asked for."""
    rng = np.random.default_rng(rows)
    circuit = ds.Circuit("layer", temperature=300.15, output="y")
    volts = {"unit": 0.1, "rail": 0.6 * swing, "full_scale": 0.4 * swing}
    circuit.clamp("x", (columns,), **volts)
    circuit.nodes("y", (rows,), **volts)
    circuit.couple("w", "x", "y", rng.normal(size=(rows, columns)) / 2)
    technology = ds.load_technology("cmos45", overrides={"supply.swing": swing})
    usual = {"hold": "ideal", "output_ratio": 1e-8, "largest_weight": 8.0}
    return ds.ecl_layer(circuit, "w", **(usual | options), technology=technology)


def examples(made: EclLayer, count: int, size: float = 1.0) -> tuple[Array, Array]:
    """Inputs (count, in), and what a teacher makes of them (count, out)."""
    rows, columns = made.weight.shape
    rng = np.random.default_rng(7)
    x = size * rng.uniform(-1, 1, (count, columns))
    return x, x @ rng.normal(size=(columns, rows)) / 2


def one_after_another(made: EclLayer, x: Array, t: Array, seconds: float) -> dict[str, Any]:
    """Inputs of the layer's circuit, `seconds` for each presentation."""
    times = seconds * np.arange(len(x))
    return {"x": Steps(times, x), made.target: Steps(times, t)}
