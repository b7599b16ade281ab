"""Swing where noise and distortion balance, behind ideal conveyors and behind those of transistors.

    distortion   matrices of transistors at rest
    noise        linear couplings with the noise of these transistors: of pairs one-sided, of quads balanced
    both         matrices of transistors, noise at their own bias

Noise is thermal, of all cells; a conveyor's own is what ngspice measures (`measure_support`). Weights are written
through conveyors and buffers, so that their gains and r_x are written away: 4kT (G_n + (r_x + R_n) L²) is left of them.
Of the large model `both` adds the noise of its linear machine to the distorted logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from common import save

import dsmachine as ds
from dsmachine.circuits.cells.mos.support import Support
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows
from .noise import of_swing
from .transistors import A_BETA, A_VT, SWINGS, UNITS, Device, Study, alike, differing, matrices

Array = Any
FREQUENCIES, SAMPLES = 4, 4
CAPACITORS = {"49 fF": 49e-15, "2 pF": 2e-12}
CONVEYORS = ("ideal", "A", "AB")
STUDIED = (("49 fF", "ideal"), ("49 fF", "A"), ("2 pF", "A"))  # nodes and conveyors of the large model
LARGE_SWINGS = (0.1, 0.2, 0.5)
OFFSET, RESIDUALS = 0.06, {"write-verify": 0.003, "auto-zero": 0.0005}
FINISHED = (("pair", 0.1), ("pair", 0.15), ("quad", 0.2))  # units and swings of whole chips, at 2 pF behind class A


@dataclass(frozen=True)
class Point:
    """A machine: unit and swing [V] of its weights, the node's capacitor, class of its conveyors."""

    unit: str
    swing: float
    capacitor: str
    conveyor: str

    @property
    def key(self) -> dict[str, Any]:
        return {"unit": self.unit, "swing_v": self.swing, "node": self.capacitor, "conveyors": self.conveyor}

    @property
    def overrides(self) -> dict[str, float]:
        """Of the technology: swing, capacitor, and conveyors whose gains are written away."""
        found = of_swing(self.swing) | {"node.capacitance": CAPACITORS[self.capacitor]}
        if self.conveyor != "ideal":
            found |= {"conveyor.noise_conductance": followers(self.conveyor).overrides()["conveyor.noise_conductance"]}
            found |= {"conveyor.noise_resistance": 2 * followers(self.conveyor).noise_resistance}
        return found


@lru_cache
def followers(kind: str) -> Support:
    """Conveyor and buffer of a class, of the bundled cards."""
    return ds.measure_support(ds.transistors_of(Device("pair").card), kind)  # type: ignore[no-any-return]


def run(bench: Bench) -> None:
    """The bundled model at every swing; whole chips of it."""
    small = Bench(128, "short", bench.headroom, name="tiny-shakespeare")
    rows, chips = (Rows(name, fresh=bench.fresh) for name in ("balance", "balance_chips"))
    for capacitor, conveyor, unit, swing in product(CAPACITORS, CONVEYORS, UNITS, SWINGS):
        point = Point(unit, swing, capacitor, conveyor)
        rows.row(of_model(small) | point.key, lambda point=point: measured(small, point))
    save("pretrained_balance_swings", balance(rows.rows, small.model.name))
    for (unit, swing), conveyor in product(FINISHED, CONVEYORS):
        point = Point(unit, swing, "2 pF", conveyor)
        chips.row(of_model(small) | point.key, lambda point=point: whole(small, point))
    as_they_come(small, 0.2, chips)


def large(bench: Bench) -> None:
    """The large model at a few swings."""
    rows = Rows("balance")
    study = Study(bench, Rows("transistors"))
    distorted = lru_cache(lambda swing: study.read(Device("pair", swing), alike(Device("pair", swing))))
    for (capacitor, conveyor), swing in product(STUDIED[::-1], LARGE_SWINGS):
        point = Point("pair", swing, capacitor, conveyor)
        rows.row(of_model(bench) | point.key, lambda point=point: of_large(bench, point, distorted(point.swing)))
    chips, point = Rows("balance_chips"), Point("pair", 0.1, "2 pF", "A")
    chips.row(of_model(bench) | point.key, lambda: whole_large(bench, point, study))
    as_they_come(bench, 0.5, chips)


def of_model(bench: Bench) -> dict[str, Any]:
    return {"model": bench.model.name}


def measured(bench: Bench, point: Point) -> dict[str, Any]:
    """Perplexity by distortion, by noise (± between samples), by both."""
    linear = bench.circuit(point.overrides, precision="float32")
    if point.unit == "quad":
        linear = linear.with_terms([replace(term, balanced=True) for term in matrices(linear)])
    made = bench.circuit(point.overrides, precision="float32", device_card=Device(point.unit, point.swing).card)
    _, noisy, rms = fluctuating(bench, linear)
    rest, both, _ = fluctuating(bench, made)
    return {"distortion": rest} | noisy_columns("noise", noisy) | noisy_columns("both", both) | {"median rms %": rms}


def fluctuating(bench: Bench, machine: Any) -> tuple[float, list[float], float]:
    """(perplexity at rest, of each sample, median array's rms [%])."""
    found = ds.noise(machine, bench.inputs, frequencies=FREQUENCIES, samples=SAMPLES, precision="float32")
    each = [perplexity(read, bench.ids) for read in found.logical_samples("logits")]
    return perplexity(found.outputs["logits"][0] / found.circuit.units("logits"), bench.ids), each, median_rms(found)


def median_rms(found: Any) -> float:
    """Of the median array [% of full scale]."""
    return 100 * float(np.median([v for name, v in found.rms.items() if not found.circuit.arrays[name].is_inner]))


def noisy_columns(name: str, each: list[float]) -> dict[str, float]:
    return {name: float(np.mean(each)), f"{name} ±": float(np.std(each, ddof=1))}


def whole(bench: Bench, point: Point) -> dict[str, Any]:
    """Chip 0 with all of it: transistors that differ by Pelgrom's law and are written, nodes auto-zeroed, conveyors,
    noise."""
    made = bench.circuit(point.overrides, precision="float32", device_card=Device(point.unit, point.swing).card)
    chip = ds.fabricate(made, threshold_area=A_VT, beta_area=A_BETA, offset=OFFSET, trim=RESIDUALS)
    rest, each, rms = fluctuating(bench, chip)
    return {"gains": "written", "at rest": rest} | noisy_columns("with noise", each) | {"median rms %": rms}


def whole_large(bench: Bench, point: Point, study: Study) -> dict[str, Any]:
    """As `whole`, noise as in `of_large`; without offsets of the nodes."""
    device = Device(point.unit, point.swing)
    found = of_large(bench, point, study.read(device, differing(device, RESIDUALS["write-verify"])))
    names = {"distortion": "at rest", "both": "with noise", "both ±": "with noise ±", "median rms %": "median rms %"}
    return {"gains": "written"} | {name: found[key] for key, name in names.items()}


def as_they_come(bench: Bench, swing: float, rows: Rows) -> None:
    """Linear couplings written as if conveyors and buffers were ideal: r_x, copies and buffers as measured."""
    for kind in CONVEYORS[1:]:
        key = of_model(bench) | {"unit": "linear", "swing_v": swing, "conveyors": kind, "gains": "as they come"}
        values = of_swing(swing) | followers(kind).overrides()
        ohms = values["conveyor.input_resistance"]
        rows.row(key, lambda v=values, r=ohms: rest(bench, bench.circuit(v, precision="float32", input_resistance=r)))


def rest(bench: Bench, machine: Any) -> dict[str, float]:
    return {"at rest": bench.score(machine)["perplexity"]}


def of_large(bench: Bench, point: Point, distorted: Array) -> dict[str, Any]:
    """As `measured`, but noise is the linear machine's, on top of the logits of transistors: of both at once there are
    more matrices than a small computer has."""
    linear = bench.circuit(point.overrides, precision="float32")
    found = ds.noise(linear, bench.inputs, frequencies=FREQUENCIES, samples=SAMPLES, precision="float32")
    unit = found.circuit.units("logits")
    off, alone = found.deviations["logits"] / unit, found.outputs["logits"][0] / unit
    noisy, both = ([perplexity(base + each, bench.ids) for each in off] for base in (alone, distorted))
    columns = noisy_columns("noise", noisy) | noisy_columns("both", both)
    return {"distortion": perplexity(distorted, bench.ids)} | columns | {"median rms %": median_rms(found)}


def balance(rows: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """By machine: the swing at which perplexity by noise is that by distortion, log perplexity being straight over log
    swing between rows, that perplexity, and the swing of the row that is best with both. No swing: they do not meet."""
    found = []
    for unit, capacitor, conveyor in product(UNITS, CAPACITORS, CONVEYORS):
        machine = {"model": model, "unit": unit, "node": capacitor, "conveyors": conveyor}
        own = [row for row in rows if all(row[key] == value for key, value in machine.items())]
        if not own:
            continue
        own.sort(key=lambda row: float(row["swing_v"]))
        swing, distortion, noise = (np.log([r[key] for r in own]) for key in ("swing_v", "distortion", "noise"))
        best = min(own, key=lambda row: float(row["both"]))
        row = machine | {"balance_v": "–", "each": "–"}
        for k in np.flatnonzero((noise - distortion)[:-1] * (noise - distortion)[1:] <= 0)[:1]:
            ahead = noise[k] - distortion[k]
            share = ahead / (ahead - noise[k + 1] + distortion[k + 1])
            row["balance_v"] = math.exp(swing[k] + share * (swing[k + 1] - swing[k]))
            row["each"] = math.exp(noise[k] + share * (noise[k + 1] - noise[k]))
        found.append(row | {"best_v": best["swing_v"], "both there": best["both"]})
    return found
