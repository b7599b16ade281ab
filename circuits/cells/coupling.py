"""Coupling unit: a transistor-resistor from a buffered driver to the node it drives (DESIGN §1, §3).

    I_i = Σ_j G_ij v_j,        G_ij = g_i U_i w_ij / U_j        (signed by crossed connection)

`buffered`: the node's current conveyor holds its input still, so couplings do not load the node.
`passive`:  plain resistors straight onto the capacitor, past the conveyor, its rail and its r_x; they load the node:
            g_i grows by Σ_j |G_ij|        -> y = ΣGx / (g + Σ|G|)
`one-sided`: of a differential pair the unused side is off, the physical conductance is |G|.
`balanced`:  a pair G₊ − G₋ = G with G₊ + G₋ = G_max whatever the weight: linear, but every unit conducts. G_max is the
             largest |G| of the whole array of couplings, at the first position (apart) and the others.

Noise: 4kT ΣG (triode, γ = 1), one-sided [A²/Hz]. Dissipation: |G| v_j² (the conveyor's input is a virtual ground);
passive |G| (v_j ∓ v_i)², of which the driver delivers |G| (v_j ∓ v_i) v_j.
Mismatch: β is relative, w(1 + σξ); V_t is additive, σ·max_j|G_ij| of the row. In a balanced pair both devices have
theirs, G₊(1 + σξ₊) − G₋(1 + σξ₋) and σ·G_max each, so even a weight of 0 is off by σ G_max/√2. All positions share
the draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import matmul, real
from ..errors import Error
from ..rows import by_rows, distinct, once, row_peaks
from .coupling_law import Loaded
from .crossbar import lead_of
from .gradient import coupling_gradient
from .mos.coupling import couplings
from .mos.rails import INPUTS, SIDES
from .power import Meter, added, scatter
from .programming import Programming, erring, errors, least, reach, row_peak
from .siemens import Siemens
from .spice import elements, load_lines
from .term import Array, Inline, Rows, Signals, Term, View, as_view

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .converter import Converter
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

INDEPENDENT = 20_000  # up to so many couplings a netlist weighs the heat of each on its own


@dataclass(frozen=True)
class Coupling(Term):
    """Couplings from every node of `source` to every node of `target` along the last axis, position by position.

    weight: (out, in) matrix w, shared by all positions (`in` may span several trailing axes of the source);
        or a scalar or array broadcastable to the target's shape: one coupling per node, source and target being
        of one shape (a scalar 1.0 is a residual connection).
    elementwise: which of the two it is.
    programmable: each weight is held on a capacitor, leaks and is refreshed; else a device of fixed size.
    buffer_gain: share of its driver's volts that a unit sees (heat is stated as without).
    """

    name: str
    target: str
    source: View
    weight: Array
    passive: bool = False
    balanced: bool = False
    elementwise: bool = False
    programmable: bool = True
    buffer_gain: float = 1.0
    kind: ClassVar[str] = "coupling"
    ends: ClassVar[tuple[str, ...]] = ("source",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", real(self.weight))

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source,)

    def _apply(self, x: Array) -> Array:
        x = x if self.buffer_gain == 1.0 else x * self.buffer_gain
        if self.elementwise:
            return x if isinstance(self.weight, float) and self.weight == 1.0 else x * self.weight
        out, width = self.weight.shape
        flat = matmul(x.reshape(-1, width), self.weight.T)
        return flat.reshape(*lead_of(x.shape, width), out)

    def drive(self, x: Signals) -> Array:
        return self._apply(self.source.of(x[self.source.array]))

    @property
    def inline(self) -> Inline | None:
        if self.elementwise:
            weight = self._buffered(self.weight)
            unit = isinstance(weight, float) and weight == 1.0
            return Inline("r0", (self.source,)) if unit else Inline("v0 * r0", (self.source,), (weight,))
        one_driver = self.weight.shape[1] == 1
        return Inline("v0 * r0", (self.source,), (self._buffered(self.weight[:, 0]),)) if one_driver else None

    @property
    def rows(self) -> Rows | None:
        """Of couplings to one node a position: a mean."""
        one_driven = not self.elementwise and self.weight.shape[0] == 1
        return Rows("v0 * r0", (self.source,), (self._buffered(self.weight[0]),)) if one_driven else None

    def _buffered(self, weight: Array) -> Array:
        return weight if self.buffer_gain == 1.0 else weight * self.buffer_gain

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array)
        return 0.0 if moved is None else self._apply(self.source.of(moved))

    def adjoint(self, back: Backward) -> None:
        back.transpose(self)

    def gradient(self, x: Signals, a: Array) -> Array | None:
        if not self.programmable:
            return None
        return coupling_gradient(self, self.source.of(x[self.source.array]), a, x[self.target])

    def _source_units(self, circuit: Circuit) -> Array:
        """U of the viewed nodes, trailing axes merged to `in` for a dense coupling."""
        u = np.asarray(self.source.of(circuit.units(self.source.array)[None])[0], float)
        return u if self.elementwise else u.reshape(*lead_of(u.shape, self.weight.shape[1]), -1)

    # --- physical -------------------------------------------------------------------------------------

    def siemens(self, circuit: Circuit, position: int | None = None) -> Array:
        """Signed G_ij [S]: (out, in) at one position for a dense coupling, else (target shape)."""
        node = circuit.arrays[self.target]
        u_in, u_out = self._source_units(circuit), circuit.units(self.target)
        if self.elementwise:
            return node.conductance * np.broadcast_to(self.weight, node.shape) * u_out / u_in
        p = 0 if position is None else position
        row = u_out.reshape(-1, u_out.shape[-1])[p if len(node.shape) > 1 else 0]
        col = u_in.reshape(-1, u_in.shape[-1])[p if len(node.shape) > 1 else 0]
        return node.conductance * np.asarray(self.weight, float) * row[:, None] / col[None, :]

    def _sums(self, circuit: Circuit) -> tuple[Array, Array]:
        """(Σ_j|G_ij| at each target node, Σ_i|G_ij| at each source node) in S, for all positions."""
        node = circuit.arrays[self.target]
        u_in = self._source_units(circuit)
        u_out = circuit.units(self.target)
        here = node.present
        if self.elementwise:
            g = np.abs(self.siemens(circuit)) * here
            if self.balanced:
                g = np.where(g > 0, self.balance(circuit), 0.0)
            return g, g
        width = self.weight.shape[1]
        if self.balanced:
            peak = self.balance(circuit)
            rows = peak * here.sum(axis=-1, keepdims=True)
            return here * peak * width, np.broadcast_to(rows, (*node.shape[:-1], width))
        each = node.conductance * u_out * here
        scales, drivers = distinct(1 / u_in)
        drives, driven = distinct(each)

        def sums(rows: slice) -> tuple[Array, Array]:
            w = np.abs(self.weight[rows], dtype=float)
            return w @ scales.T, drives[:, rows] @ w

        parts = by_rows(sums, self.weight.shape)
        row = np.concatenate([row for row, _ in parts]).T[drivers]
        column = sum(column for _, column in parts)[driven]
        return each * row.reshape(each.shape), column.reshape(u_in.shape) / u_in

    def balance(self, circuit: Circuit) -> float:
        """G_max [S] of balanced pairs: the largest |G| of these couplings."""
        return self.strongest(circuit)

    def loading(self, circuit: Circuit) -> tuple[Array, Array]:
        total = self._sums(circuit)[0]
        return (0.0, total) if self.passive else (total, 0.0)

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens(self._sums(circuit)[0])

    def meter(self, circuit: Circuit) -> Meter:
        u = self._source_units(circuit)
        row, column = self._sums(circuit)
        amperes = np.broadcast_to(column, u.shape) * u
        watts = {self.source.array: scatter(circuit, self.source, amperes * u)}
        if not self.passive:
            return Meter(watts, watts, {self.source.array: scatter(circuit, self.source, amperes)}, load=row)
        square = circuit.units(self.target) ** 2
        heat = added(watts, {self.target: row * square})
        back = circuit.arrays[self.target].conductance * square
        loaded = Loaded(self.source, self.target, self.weight, self.elementwise, back, amperes, u)
        return Meter(heat, watts, rest=loaded)

    @property
    def conveyed(self) -> bool:
        return not self.passive

    def drivers(self) -> tuple[View, ...]:
        return (self.source,)

    def buffered(self, circuit: Circuit, gain: float) -> Coupling:
        return replace(self, buffer_gain=gain)

    @property
    def label(self) -> str:
        return self.kind if self.programmable else f"{self.kind}, fixed"

    def weights(self, circuit: Circuit) -> int:
        return self.count(circuit) if self.programmable else 0

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.coupling.area

    def peaks(self, circuit: Circuit) -> Array:
        """Largest |G_ij| [S] at each target node, in the target's shape."""
        g0 = circuit.arrays[self.target].conductance
        if self.elementwise:
            return np.abs(self.siemens(circuit))
        u_in = self._source_units(circuit)
        scales, drivers = distinct(1 / u_in)
        each = row_peaks(self.weight, scales)[drivers]
        return g0 * circuit.units(self.target) * each.reshape(*u_in.shape[:-1], -1)

    def strongest(self, circuit: Circuit) -> float:
        return float((self.peaks(circuit) * circuit.arrays[self.target].present).max())

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return [(self.source, 1 if self.elementwise else len(self.weight), 0)]

    def fan_in(self, circuit: Circuit) -> float:
        return 1.0 if self.elementwise else float(self.weight.shape[1])

    # --- netlist --------------------------------------------------------------------------------------

    def tile(self, rows: Array, columns: Array) -> Coupling:
        if self.elementwise:
            return self
        return replace(self, weight=self.weight * (rows[:, None] & columns[None, :]))

    def blocks(self, circuit: Circuit) -> int:
        """A matrix at each position, or each coupling."""
        node = circuit.arrays[self.target]
        return node.count if self.elementwise else math.prod(node.shape[:-1])

    def extent(self, circuit: Circuit) -> tuple[int, ...]:
        return super().extent(circuit) if self.elementwise else tuple(self.weight.shape)

    def columns(self, circuit: Circuit) -> int:
        return super().columns(circuit) if self.elementwise else int(self.weight.shape[1])

    def _pairs(self, sheet: Sheet) -> Iterator[tuple[Array, Array, Array]]:
        """(flat index of the driven node, name of the driving node, signed G [S], 0 where either is missing), each
        broadcastable to (driven, driving): one position after another, or all at once with one coupling a node."""
        node, circuit = sheet.circuit.arrays[self.target], sheet.circuit
        index = np.arange(int(np.prod(node.shape))).reshape(node.shape)
        names, shown, present = sheet.nodes(self.source), sheet.shown(self.source), sheet.present(self.target)
        if self.elementwise:
            yield index, names, np.where(shown & present, self.siemens(circuit), 0.0)
            return
        rows, width = self.weight.shape
        names, shown, unit = (
            np.broadcast_to(x.reshape(*lead_of(x.shape, width), width), (*node.shape[:-1], width)).reshape(-1, 1, width)
            for x in (names, shown, self._source_units(circuit))
        )
        weight = np.asarray(self.weight, float)
        current = sheet.amperes(self.target).reshape(-1, rows, 1)
        for p, row in enumerate(index.reshape(-1, rows, 1)):
            keep = shown[p] & present.reshape(-1)[row]
            yield row, names[p], np.where(keep, current[p] * weight / unit[p], 0.0)

    def spice(self, sheet: Sheet) -> list[str]:
        """One G element a coupling; what the couplings load the conveyor (buffered) or the node (passive) with."""
        lines: list[str] = []
        into = (sheet.names[self.target] if self.passive else sheet.ports(self.target)).reshape(-1)
        for row, driver, g in self._pairs(sheet):
            lines += elements(sheet.prefix("G"), "0 %s %s 0 %.12g", g != 0, into[row], driver, g * self.buffer_gain)
        return lines + load_lines(sheet, self)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        if self.balanced:
            raise Error(f"balanced couplings {self.name!r} have no circuit of transistors: map them one-sided")
        into = sheet.names[self.target].reshape(-1)
        return couplings(sheet, self._pairs(sheet), into, SIDES if self.passive else INPUTS)

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """Coupling by coupling |G| v², passive |G| (v_j ∓ v_i)²; where they are very many, driver by driver."""
        if self.passive:
            return self._spice_heat_between(sheet, meter, scale)
        lines: list[str] = []
        square, used = ":" + sheet.prefix("q") + "sq", set()
        if self.balanced or self.count(sheet.circuit) > INDEPENDENT:
            shown = sheet.shown(self.source)
            column = np.broadcast_to(self._sums(sheet.circuit)[1], self._source_units(sheet.circuit).shape)
            lines = elements(
                sheet.prefix("G"), f"0 {meter} %s{square} 0 %.12g", shown, sheet.nodes(self.source),
                scale * column.reshape(shown.shape),
            )  # fmt: skip
            used |= set(sheet.nodes(self.source)[shown].tolist())
        else:
            for _, driver, g in self._pairs(sheet):
                pattern = f"0 {meter} %s{square} 0 %.12g"
                lines += elements(sheet.prefix("G"), pattern, g != 0, driver, scale * np.abs(g))
                used |= set(np.broadcast_to(driver, g.shape)[g != 0].tolist())
        drivers = np.array(sorted(used), object)
        every = np.ones(drivers.shape, bool)
        lines += elements(sheet.prefix("B"), f"0 %s{square} I=V(%s)*V(%s)", every, drivers, drivers, drivers)
        return lines + elements(sheet.prefix("R"), f"%s{square} 0 1", every, drivers)

    def _spice_heat_between(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """Heat of plain resistors between driver and node; crossed ones see the sum of the two voltages."""
        names, lines = sheet.names[self.target].reshape(-1), []
        law = f"0 {meter} I=%.12g*(V(%s)-%d*V(%s))*(V(%s)-%d*V(%s))"
        for row, driver, g in self._pairs(sheet):
            ends = (driver, np.sign(g).astype(int), names[row])
            lines += elements(sheet.prefix("B"), law, g != 0, scale * np.abs(g), *ends, *ends)
        return lines

    def quantized(self, circuit: Circuit, dac: Converter) -> Coupling:
        """Conductances on the levels of a DAC whose range is the row's largest |G|; one a node: the array's largest."""
        if not self.programmable:
            return self
        w = np.asarray(self.weight, float)
        if not self.elementwise:
            return replace(self, weight=dac(w, self._row_peak(circuit, w)))
        scale = self.siemens(circuit) / np.where(w == 0, 1.0, w)
        found = dac(w, np.max(np.abs(self.siemens(circuit))) / np.where(scale == 0, 1.0, scale))
        return replace(self, weight=found)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Coupling:
        if not (spread.mismatch or spread.vt_mismatch or self.balanced or self.elementwise):
            return self
        w = np.asarray(self.weight, float)
        if self.elementwise:
            w = np.array(np.broadcast_to(w, circuit.arrays[self.target].shape))
        if self.balanced:
            return replace(self, weight=self._drawn_pairs(circuit, w, spread, draw))
        peak = self._row_peak(circuit, w) if spread.vt_mismatch else 0.0
        return replace(self, weight=np.asarray(erring(self.name, w, peak, spread, draw), np.result_type(self.weight)))

    def _drawn_pairs(self, circuit: Circuit, w: Array, spread: Spread, draw: Draw) -> Array:
        """Weights of balanced pairs, two devices drawn apart; G_max as a weight by units of the last position."""
        u_in, u_out = self._source_units(circuit), circuit.units(self.target)
        if not self.elementwise:
            u_in, u_out = u_in.reshape(-1, u_in.shape[-1])[-1], u_out.reshape(-1, u_out.shape[-1])[-1][:, None]
        most = self.balance(circuit) * u_in / (circuit.arrays[self.target].conductance * u_out)
        drawn = np.zeros(w.shape)
        for sign, side in ((1, "plus"), (-1, "minus")):
            if spread.mismatch:
                drawn += sign * spread.mismatch * (most + sign * w) / 2 * draw(self.name, f"beta {side}", w.shape)
            if spread.vt_mismatch:
                drawn += sign * spread.vt_mismatch * most * draw(self.name, f"vt {side}", w.shape)
        return w + (np.where(w == 0, 0.0, drawn) if self.elementwise else drawn)

    def programming(self, circuit: Circuit, spread: Spread, draw: Draw, largest: float) -> Programming | None:
        if not self.programmable:
            return None
        if self.balanced or self.passive:
            built = "balanced" if self.balanced else "passive"
            raise Error(f"{built} couplings {self.name!r} do not learn: map them buffered")
        w = np.asarray(self.weight)
        peak = self._row_peak(circuit, w.astype(float)) if spread.vt_mismatch else 0.0
        most = largest / circuit.arrays[self.target].conductance
        u_in, u_out = self._source_units(circuit), circuit.units(self.target)
        reached = least(most * u_in / u_out, w.shape) if self.elementwise else reach(u_in, u_out, most, w.dtype)
        gain, shift = errors(self.name, w.shape, peak, spread, draw)
        return Programming("weight", w, *(np.asarray(each, w.dtype) for each in (gain, shift, reached)))

    def _row_peak(self, circuit: Circuit, w: Array) -> Array:
        """max_j|G_ij| of each row, referred back to each weight; units of the last position (they are shared)."""
        if self.elementwise:
            return np.abs(w)
        u_in = self._source_units(circuit)
        return row_peak(w, u_in.reshape(-1, u_in.shape[-1])[-1])

    def count(self, circuit: Circuit) -> int:
        node = circuit.arrays[self.target]
        if self.elementwise:
            return node.count
        given = once(self.weight)
        repeats = int(self.weight.size) // max(1, int(given.size))
        return int(np.count_nonzero(given)) * repeats * math.prod(node.shape[:-1])


def coupling(
    name: str,
    source: str | View,
    target: str,
    weight: Array,
    *,
    passive: bool = False,
    balanced: bool = False,
    elementwise: bool | None = None,
    programmable: bool = True,
) -> Coupling:
    """A `Coupling` whose weight's shape says what it is: a matrix is dense, a vector or scalar one per node."""
    each = np.ndim(weight) < 2 if elementwise is None else elementwise
    return Coupling(name, target, as_view(source), weight, passive, balanced, each, programmable)
