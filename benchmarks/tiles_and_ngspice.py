"""Tiles against ngspice: a coupling, a tanh pair and a product, driven by recorded waveforms of the bundled model.

    python benchmarks/tiles_and_ngspice.py        # pin the threads: OPENBLAS_NUM_THREADS=1

Both tools run the same tile on the same inputs. Error is the strict NRMSE against a third solution, SciPy's DOP853 at
rtol 1e-10 on the recorded polynomials. Of several settings each, the fastest whose measured error is at most 1e-4
counts. ngspice gets the deck that `write_netlist` writes, whose B sources follow the recording without breakpoints
(plain PWL sources are several times slower); loading (parsing and expanding) and solving are shown apart, and so are
planning and solving of the emulator.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import save, timed
from recorder import Recorder, Replay
from scipy.integrate import solve_ivp

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import PiecewiseLinear
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.plan import make_plan
from dsmachine.netlists.bench import choose_knots
from dsmachine.netlists.ngspice import run_netlist
from dsmachine.netlists.writer import write_netlist

Array = Any
SIZES = (64, 128, 256)
ERROR = 1e-4
FREE = ("y", "z", "q")
TOLERANCES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
SETTINGS = (  # of ngspice, loose to tight
    {"reltol": 1e-3, "trtol": 7, "max_step": 1.0},
    {"reltol": 1e-4, "trtol": 7, "max_step": 0.5},
    {"reltol": 1e-4, "trtol": 7, "max_step": 0.25},
    {"reltol": 1e-5, "trtol": 2, "max_step": 0.25},
    {"reltol": 1e-6, "trtol": 1, "max_step": 0.1},
)
KNOT_ERROR = 3e-5  # of the straight lines that ngspice gets, share of full scale


def recorded(tokens: int) -> tuple[Replay, Array, float]:
    """Waveforms of 256 nodes of the bundled model (h.1.mlp.act, last position), their full scale, settling time."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, tokens)
    recorder = Recorder({"h.1.mlp.act": (tokens - 1, slice(None))})
    inputs = {"embed": model.embed(model.encode(model.calibration_text[:tokens]))}
    run = ds.transient(circuit, inputs, tolerance=1e-6, precision="float64", observers=[recorder])
    assert run.settling_time is not None
    return recorder.waveform("h.1.mlp.act"), circuit.full_scale("h.1.mlp.act")[-1], float(run.settling_time.max())


def tile(n: int, reach: Array) -> Circuit:
    """y = W x, z = tanh(y), q = z y with n nodes each; W random, scaled so that y stays within ±2."""
    weight = np.random.default_rng(n).normal(size=(n, n)) / (np.sqrt(n) * float(np.mean(reach)))
    circuit = Circuit(f"tile {n}x{n}")
    volts = 1 / 3
    circuit.clamp("x", (n,), unit=volts / reach, full_scale=volts)
    for name in FREE:
        circuit.nodes(name, (n,), unit=volts / 2, full_scale=volts)
    circuit.couple("W", "x", "y", weight)
    circuit.tanh("T", "y", "z")
    circuit.multiply("P", "z", "y", "q", "d,d->d")
    return circuit


def truth(circuit: Circuit, wave: Replay, times: Array) -> Array:
    """Voltages of y, z, q in full scales at times, (T, 3, n), by DOP853."""
    weight = np.asarray(circuit.terms["W"].weight)  # type: ignore[attr-defined]
    tau, n = circuit.arrays["y"].time_constant, len(weight)

    def slope(t: float, state: Array) -> Array:
        y, z, q = state.reshape(3, n)
        return np.concatenate([weight @ wave.at(np.array([t]))[0, 0] - y, np.tanh(y) - z, z * y - q]) / tau

    found = solve_ivp(slope, (0, times[-1]), np.zeros(3 * n), "DOP853", times, rtol=1e-10, atol=1e-12, max_step=tau)
    return found.y.T.reshape(len(times), 3, n) / 2


def error(ours: Array, reference: Array) -> float:
    """NRMSE of the worst array: (T, 3, n) in full scales."""
    return float(np.sqrt(((ours - reference) ** 2).mean(axis=(0, 2))).max())


def emulated(circuit: Circuit, wave: Replay, end: float, times: Array, reference: Array, repeats: int) -> Any:
    """The fastest tolerance within ERROR: (seconds in all, seconds of planning, error, tolerance, elements)."""
    best: dict[str, Any] | None = None
    for tolerance in TOLERANCES:
        probe = Probe(list(FREE), times=times)
        ds.transient(circuit, {"x": wave}, duration=end, tolerance=tolerance, observers=[probe])
        volts = np.stack([probe.volts(name)[:, 0] * 3 for name in FREE], axis=1)
        miss = error(volts, reference)
        seconds, run = timed(
            lambda t=tolerance: ds.transient(circuit, {"x": wave}, duration=end, tolerance=t, settle_bits=0), repeats
        )
        if miss <= ERROR and (best is None or seconds < best["total_s"]):
            best = {"total_s": seconds, "error": miss, "tolerance": tolerance, "elements": run.statistics["elements"]}
    assert best is not None
    best["plan_s"], _ = timed(lambda: make_plan(circuit, Backend()), repeats)
    return best


def simulated(circuit: Circuit, wave: Replay, end: float, times: Array, reference: Array, repeats: int) -> Any:
    """ngspice: the fastest setting within ERROR."""
    dense = np.linspace(0, end, 4001)
    values = wave.at(dense)[:, 0]
    scale = circuit.full_scale("x")
    knots = choose_knots(dense, values / scale, KNOT_ERROR)
    lines = PiecewiseLinear(dense[knots], values[knots])
    best: dict[str, Any] | None = None
    for options in SETTINGS:
        netlist = write_netlist(circuit, inputs={"x": lines}, duration=end, options=options)
        runs = [run_netlist(netlist.text) for _ in range(repeats)]
        waves = runs[0]
        rows = [[np.interp(times, waves.time, waves[node]) * 3 for node in netlist.nodes[name]] for name in FREE]
        miss = error(np.transpose(np.array(rows), (2, 0, 1)), reference)
        load, solve = (float(np.median([getattr(r, k) for r in runs])) for k in ("load_seconds", "solve_seconds"))
        row = {"load_s": load, "solve_s": solve, "error": miss, "points": len(waves.time), "knots": len(knots)}
        if miss <= ERROR and (best is None or load + solve < best["load_s"] + best["solve_s"]):
            best = row | {"options": " ".join(f"{k}={v}" for k, v in options.items())}
    assert best is not None
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    wave, reach, end = recorded(options.tokens)
    rows = []
    for n in SIZES:
        circuit, part = tile(n, reach[:n]), wave[:n]
        times = np.linspace(0, end, 401)[1:]
        reference = truth(circuit, part, times)
        spice = simulated(circuit, part, end, times, reference, options.repeats)
        ours = emulated(circuit, part, end, times, reference, 15 * options.repeats)
        solving = ours["total_s"] - ours["plan_s"]
        rows.append(
            {
                "tile": f"{n}x{n}",
                "ngspice load_s": spice["load_s"],
                "ngspice solve_s": spice["solve_s"],
                "ngspice error": spice["error"],
                "ngspice points": spice["points"],
                "ngspice options": spice["options"],
                "knots": spice["knots"],
                "plan_s": ours["plan_s"],
                "solve_s": solving,
                "error": ours["error"],
                "elements": ours["elements"],
                "tolerance": ours["tolerance"],
                "ratio solving": spice["solve_s"] / solving,
                "ratio in all": (spice["load_s"] + spice["solve_s"]) / ours["total_s"],
            }
        )
    save("tiles_and_ngspice", rows)


if __name__ == "__main__":
    main()
