"""Measures how late the insides of cells are, from level `device`'s own subcircuits, by .ac.

    lag      dφ/dω of half of what both mirrors deliver, gate to output, at several shares of the tail current
    tail     ΣC/Σg_s of rows that share their current evenly, few branches and many: g_s is V_T's share of a weak one
    transit  from the driven end of a coupling's transistor to the one that is held
    charge   of a feedback device's finger, over its gate and v: between a node's sides, and from its gate into both

far under all poles, so that they are the first moments of the responses: what a slow signal sees.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy.integrate import cumulative_trapezoid

from ..circuits.cells.channel import Ends
from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.softmax import CENTRE, DESIGN_CURRENT, branch, sink
from ..circuits.circuit import Circuit
from ..circuits.devices.card import DeviceCard
from ..circuits.devices.lag import RATIOS, Lag, lag
from ..circuits.devices.transit_card import TransitCard
from .ngspice import Engine, Waveforms, run_netlist

Array = Any
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
ROWS = (3, 128)  # branches of the rows whose tails are measured
FREQUENCY = 1e6  # Hz
STEP = 0.025  # V, of a coupling's gate
APART = 0.02  # V, of both ends of a coupling that conducts
TAILS = (0.0, 0.6, 0.005)  # V, first, last, step


def measure_lag(transistors: Transistors, engine: Engine) -> Lag:
    """Lag of the mirrors of a branch."""
    bench, ratios = _Bench(transistors, engine), (RATIOS[0], 1.0, RATIOS[1])
    tails = bench.tails(SHARES)
    return lag(np.array(SHARES), np.array(ratios), np.array([bench.late(ratio, tails) for ratio in ratios]))


def measure_tail(transistors: Transistors, engine: Engine) -> Array:
    """(2,) [s]: what a branch and what the sink add to the tail's time constant at I_T. A strong branch's source
    conducts less for its current than a weak one's: the line goes through a short row and a long one."""
    bench = _Bench(transistors, engine)
    seconds = []
    for branches, tail in zip(ROWS, bench.tails([1 / n for n in ROWS]), strict=True):
        admittance, sunk = bench.hung(tail)
        hung = branches * admittance.imag + sunk.imag
        seconds.append(hung / (branches * admittance.real) / (2 * np.pi * FREQUENCY))
    each = (seconds[1] - seconds[0]) / (ROWS[1] - ROWS[0])
    return np.array([each, seconds[0] - ROWS[0] * each])


def measure_transit(transistors: Transistors, engine: Engine) -> TransitCard:
    """Charge and conductance of a coupling's finger, over its gate: from either end to the other, the mean. Models of
    transistors part the channel's charge by which end is the drain, also at 0 V; of a pair one transistor is either
    way round."""
    gates = np.arange(0.0, transistors.card.vdd + STEP / 2, STEP)
    there = _fingers(transistors, transistors.card, gates, np.zeros((1, 2)), {"a": 1.0}, engine)[1]
    back = _fingers(transistors, transistors.card, gates, np.zeros((1, 2)), {"b": 1.0}, engine)[0]
    passed = -(there + back)[:, 0] / 2
    return TransitCard(gates, passed.real, -passed.imag / (2 * np.pi * FREQUENCY))


def measure_ends(transistors: Transistors, engine: Engine) -> Ends:
    """What a coupling's finger hangs on a conveyor that holds its end, with its offset, over its gate: the mean of both
    ways that a current may go, as a source has more of its channel's charge than a drain."""
    gates = np.arange(0.0, transistors.card.vdd + STEP / 2, STEP)
    offset = 0.0 if transistors.support is None else transistors.support.offset
    ends = np.array([[APART, offset], [-APART, offset]])
    mean = _fingers(transistors, transistors.card, gates, ends, {"b": 1.0}, engine)[1].mean(axis=1)
    return Ends(gates, mean.real + 1j * mean.imag / (2 * np.pi * FREQUENCY), transistors.quad_bias)


def measure_charge(transistors: Transistors, gates: Array, volts: Array, engine: Engine) -> tuple[Array, Array, Array]:
    """(q (K, V) [C], pushed (K,) [F], body (K,)) of a feedback device's finger at gates (K,), volts (V,) from 0 up.

    A finger takes currents i_a, i_b out of a node's sides at V_CM ± v/2. The node unit's equation is of half of their
    difference, C dv/dt = (i(p) − i(n))/2, so what the finger adds to C is, with Q_a, Q_b the charges of its ends,

        dq/dv,    q = (Q_a − Q_b)/2        sides moved by ±½ V: Im (i_a − i_b)/2ω, both counted into the finger

    (their sum would be what it adds to the common mode). Charge is conserved and has a value for each state, so dq/dv_g
    is what a gate that moves puts between the sides, and q(V_g, v)/v the mean capacitance on any way from rest to
    there. What a gate puts into both sides alike is −(Q_a + Q_b)/2: `pushed`, per volt of gate at v = 0. body: ∂i/∂c
    over −∂i/∂V_g, of i = (i_a − i_b)/2, where c lifts both sides, at the largest v.
    """
    asked = {"v": {"a": 0.5, "b": -0.5}, "gate": {"g": 1.0}, "both": {"a": 1.0, "b": 1.0}}
    ends, card = np.stack([volts, -volts], axis=1) / 2, transistors.pair_card
    taken = {name: _fingers(transistors, card, gates, ends, ac, engine) for name, ac in asked.items()}
    between = {name: (into - out) / 2 for name, (into, out) in taken.items()}
    into, out = taken["gate"]
    omega = 2 * np.pi * FREQUENCY
    charge = cumulative_trapezoid(between["v"].imag / omega, volts, initial=0, axis=1)
    body = -between["both"][:, -1].real / between["gate"][:, -1].real
    return charge, -(into + out)[:, 0].imag / (2 * omega), body


def measure_finger(transistors: Transistors, engine: Engine) -> float:
    """C [F] of a feedback device's finger whose gate is as high as couplings' go: the mean up to half of the volts that
    their card knows."""
    card = transistors.pair_card
    volts = np.linspace(0, float(card.volts[-1]) / 2, 9)
    return float(measure_charge(transistors, np.array([card.reach]), volts, engine)[0][0, -1] / volts[-1])


def _fingers(
    transistors: Transistors, card: DeviceCard, gates: Array, ends: Array, ac: dict[str, float], engine: Engine
) -> tuple[Array, Array]:
    """What goes into both ends of a finger [A], (K, V) each, at gates (K,), ends (V, 2) [V] from V_CM; ac [V]: what
    each of its terminals a, g, b moves by."""
    devices, size = transistors.models, ("n", card.width * 1e6, card.length * 1e6)
    lines = ["dsmachine characterize: fingers", devices.text, ".global vdd", f"Vvdd vdd 0 {card.vdd:.12g}"]
    numbers = [f"{k}_{n}" for k in range(len(gates)) for n in range(len(ends))]
    for k, (gate, (a, b)) in zip(numbers, itertools.product(gates, ends), strict=True):
        lines.append(transistors.transistor(k, f"a{k} g{k} b{k}", *size))
        at = {"a": card.common_mode + a, "g": gate, "b": card.common_mode + b}
        lines += [f"V{end}{k} {end}{k} 0 {there:.12g} ac {ac.get(end, 0.0):g}" for end, there in at.items()]
    names = [[f"i(v{end}{k})" for k in numbers] for end in "ab"]
    lines += [
        f".options temp={card.temperature - KELVIN:.9g} reltol=1e-6", f".ac lin 1 {FREQUENCY:g} {FREQUENCY:g}",
        f".save {' '.join(name for each in names for name in each)}", f".print ac {names[0][0]}", ".end", "",
    ]  # fmt: skip
    found = run_netlist("\n".join(lines), engine=engine)
    into, out = (-np.array([found[name][0] for name in each]).reshape(len(gates), len(ends)) for each in names)
    return into, out


class _Bench:
    """Branches, each with its source and its outputs held."""

    def __init__(self, transistors: Transistors, engine: Engine) -> None:
        self.sheet = DeviceSheet(Circuit("cell", transistors.card.temperature), {}, transistors=transistors)
        self.engine = engine

    def _run(self, ratio: float, lines: list[str], tails: Any, *analysis: str) -> Waveforms:
        """With branches number k, sources `tails[k]` [V, and what more the line says], outputs pk and nk."""
        devices = self.sheet.transistors
        held = f"0 {devices.card.common_mode:.12g}"
        cells = [".subckt cell g t p n", *branch(self.sheet, DESIGN_CURRENT, ratio * DESIGN_CURRENT), ".ends"]
        for k, tail in enumerate(tails):
            cells += [f"X{k} g t{k} p{k} n{k} cell", f"Vt{k} t{k} 0 {tail}", f"Vp{k} p{k} {held}", f"Vn{k} n{k} {held}"]
        options = f".options reltol=1e-6 abstol=1e-15 temp={devices.card.temperature - KELVIN:.9g}"
        text = ["dsmachine characterize: lags", devices.models.text, *self.sheet.supplies(), *cells, *lines, options]
        return run_netlist("\n".join([*text, *analysis, ".end", ""]), engine=self.engine)

    def tails(self, shares: Any) -> Array:
        """Voltages of the tail at which a branch whose gate is at the cell's centre carries shares of I_T."""
        sweep = f".dc Vt0 {TAILS[0]:g} {TAILS[1] + TAILS[2] / 4:g} {TAILS[2]:g}"
        found = self._run(1.0, [f"Vg g 0 {CENTRE}"], [0], sweep, ".save i(Vt0)", ".print dc i(Vt0)")
        carried = found["i(vt0)"].real / DESIGN_CURRENT
        return np.interp(-np.log(shares), -np.log(np.maximum(carried, 1e-12)), np.asarray(found.axis))

    def late(self, ratio: float, tails: Array) -> Array:
        """Delay [s] from the gate to half of what both ends deliver, (tails,)."""
        ends = [(f"i(vp{k})", f"i(vn{k})") for k in range(len(tails))]
        seen = " ".join(name for pair in ends for name in pair)
        found = self._run(
            ratio, [f"Vg g 0 {CENTRE} ac 1"], [f"{v:.12g}" for v in tails], f".ac lin 1 {FREQUENCY:g} {FREQUENCY:g}",
            f".save {seen}", ".print ac i(vp0)",
        )  # fmt: skip
        passed = np.array([found[p][0] - found[n][0] for p, n in ends])
        return -np.angle(passed / np.sign(passed.real)) / (2 * np.pi * FREQUENCY)

    def hung(self, tail: float) -> tuple[complex, complex]:
        """Admittance [S] of a branch's source and of the sink, at a voltage of the tail."""
        sinks = [sink(self.sheet, DESIGN_CURRENT), "Xs s softmax_tail", f"Vs s 0 {tail:.12g} ac 1"]
        found = self._run(
            1.0, [f"Vg g 0 {CENTRE}", *sinks], [f"{tail:.12g} ac 1"], f".ac lin 1 {FREQUENCY:g} {FREQUENCY:g}",
            ".save i(vt0) i(vs)", ".print ac i(vt0)",
        )  # fmt: skip
        return -complex(found["i(vt0)"][0]), -complex(found["i(vs)"][0])
