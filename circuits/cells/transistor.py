"""Coupling of transistors: units that follow what SPICE measured of one transistor, the device card.

    I_i = Σ_j s_ij m Σ_r φ_r(V_ij) ψ_r(v_j),        V_ij = control(|G_ij|/m),  G_ij = g_i U_i w_ij / U_j

φ and ψ are the card's factors, V the control voltage (the gate), s the sign (crossed connection; of a quad that of V),
m the fingers in parallel: as many as the term's strongest unit needs with its gate at VDD. As in `coupling.py` the
conveyor holds the output still and a buffer drives the input; there are no passive couplings of transistors. A weight
of 0 is no unit.

Noise: 4kT Σ|dI_ij/dv_j| (triode, γ = 1), one-sided, at the bias of the moment, of singles that of their channel
(`channel_noise.py`). Dissipation |I_ij v_j|: the conveyor's input is a virtual ground. Loading of the conveyor: ΣG at
rest. A quad is the difference of two pairs and has noise, dissipation and loading of both, o_A + o_B, even where its
weight is small. These, and a single's noise, are those of its design on a chip, too.
Quantised is the control voltage, over its range. Mismatch: each transistor's by Pelgrom's law (`transistor_errors.py`);
`mismatch` and `vt_mismatch` scale a unit's current as they do a linear coupling's conductance. Write-verify adjusts
control voltages where the sides stand, with the DAC's resolution if there is one. All positions share the draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..rows import row_peaks
from .coupling import coupling
from .crossbar import Crossbar, rows_of
from .gradient import matrix_gradient
from .mismatch import Spread
from .mos.coupling import units
from .polynomials import padded, stretched, text
from .power import Meter
from .siemens import Siemens
from .spice import elements, load_lines
from .term import HOST, Array, Signals, Term, View
from .transistor_errors import Devices, Drawn, Errors
from .transistor_law import ColumnLaw, MovingConductance
from .transistor_units import (
    BLOCK,
    UNITS,
    at_inputs,
    basis_of,
    both_pairs,
    control_of,
    factors_of,
    lowered,
    square_of,
    verified_control,
)

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from ..technology import Technology
    from .channel import Ends
    from .converter import Converter
    from .mismatch import Draw
    from .mos.sheet import DeviceSheet
    from .polynomials import Polynomial
    from .spice import Sheet

Conducting = tuple[Array, "tuple[Polynomial, ...]", Array]


@dataclass(frozen=True)
class TransistorCoupling(Crossbar, Term):
    """As a dense `Coupling` of the logical weights (out, in), built of transistors by `of_transistors`.

    Its matrices, of the weights' type, hold φ as drive, m s φ/(g U_i). It belongs to the units its circuit had when it
    was built.
    card: of one finger; fingers: m; slopes κ_r [1/V]: G = Σ φ_r κ_r; written: control volts (sets, out, in) where a
    DAC has written them, with that DAC; errors: of a chip's units; buffer_gain: as of a linear one; lowered [V]:
    what all gates drive by less, the drivers' sides being as much higher.
    """

    name: str
    target: str
    weight: Array = field(metadata=HOST)
    card: DeviceCard = field(metadata=HOST)
    fingers: int
    slopes: Array = field(metadata=HOST)
    written: Array | None = field(default=None, metadata=HOST)
    dac: Converter | None = None
    errors: Errors | None = field(default=None, metadata=HOST)
    programmable: bool = True
    buffer_gain: float = 1.0
    lowered: float = field(default=0.0, metadata=HOST)
    kind: ClassVar[str] = "coupling"
    of_transistors: ClassVar[bool] = True
    ends: ClassVar[tuple[str, ...]] = ("source",)

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source,)

    def drive(self, x: Signals) -> Array:
        return self.sums(x)

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array)
        return 0.0 if moved is None else self.sums_along(x, moved)

    def adjoint(self, back: Backward) -> None:
        """As linear couplings of the conductances that the units have at 0 V, errors and all, at the last units."""
        s = self.runs[-1][2]
        unit = self._amperes(back.forward)[s][:, None] / self._volts_of(s)
        back.transpose(coupling(self.name, self.source, self.target, self._siemens(back.forward, s) / unit))

    def gradient(self, x: Signals, a: Array) -> Array:
        return matrix_gradient(a, self.source.of(x[self.source.array]), self.weight.shape)

    # --- physical -------------------------------------------------------------------------------------

    def siemens(self, circuit: Circuit, position: int | None = None) -> Array:
        """Signed G_ij [S] of the units as they are, (out, in) at one position."""
        return self._siemens(circuit, self._set_at(0 if position is None else position))

    def _siemens(self, circuit: Circuit, s: int) -> Array:
        out, width = self.weight.shape
        each = np.asarray(self.matrices[s], float).reshape(out, -1, width)
        return np.tensordot(self._amperes(circuit)[s][:, None, None] * each, self.slopes, (1, 0))

    def _set_at(self, position: int) -> int:
        return next(s for a, b, s in self.runs if a <= position < b)

    def _volts_of(self, s: int) -> Array:
        """U of the driving nodes (in,) in a set."""
        first = next(a for a, _, own in self.runs if own == s)
        return self.volts[min(first, len(self.volts) - 1)]

    def _amperes(self, circuit: Circuit) -> Array:
        """g U_i (sets, out): amperes that one logical unit of drive is."""
        found = np.zeros((self.sets, len(self.weight)))
        units = circuit.units(self.target).reshape(-1, len(self.weight))
        for a, _, s in self.runs:
            found[s] = units[a]
        return circuit.arrays[self.target].conductance * found

    def _each_position(self, sets: Array) -> Array:
        """One row a position (P, …) of one row a set."""
        return np.concatenate([np.broadcast_to(sets[s], (b - a, *sets[s].shape)) for a, b, s in self.runs])

    def _present(self, circuit: Circuit) -> Array:
        """(P, out)."""
        return circuit.arrays[self.target].present.reshape(-1, len(self.weight))

    def _row_sums(self, circuit: Circuit, conducting: Conducting) -> Array:
        """ΣG [S] at each target node, in its shape."""
        found, _, slopes = conducting
        each = np.tensordot(found, slopes, (2, 0)).sum(axis=-1)
        return (self._each_position(each) * self._present(circuit)).reshape(circuit.arrays[self.target].shape)

    def loading(self, circuit: Circuit) -> tuple[Array, Array]:
        return self._row_sums(circuit, self._conducting(circuit)), 0.0

    def hung(self, circuit: Circuit, ends: Ends) -> Array:
        each = at_inputs(self.card, self.control(circuit), ends) * (self.fingers * (self.weight != 0))
        found = self._each_position(each.sum(axis=-1)) * self._present(circuit)
        return found.reshape(circuit.arrays[self.target].shape)

    def _conducting(self, circuit: Circuit) -> Conducting:
        """(matrices (sets, out, r, in) [A] of what every unit conducts, whatever its sign; their shapes; their κ)."""
        out, width = self.weight.shape
        if self.card.pair is not None:
            return self._designed(self.card.pair, both_pairs(self.card, self.control(circuit)))
        found = np.asarray(self.matrices, float).reshape(self.sets, out, -1, width)
        sign = np.stack([np.sign(self._siemens(circuit, s)) for s in range(self.sets)])
        return found * sign[:, :, None, :] * self._amperes(circuit)[:, :, None, None], self.shapes, self.slopes

    def _designed(self, card: DeviceCard, factors: Array) -> tuple[Array, tuple[Polynomial, ...], Array]:
        """The same of factors (sets, out, in, r) of a card, a finger's."""
        shapes, mix, slopes = basis_of(card, erring=False)
        found = factors @ mix * (self.fingers * (self.weight != 0))[..., None]
        return found.transpose(0, 1, 3, 2), shapes, slopes

    def noise(self, circuit: Circuit) -> Siemens:
        if self.card.unit == "single":
            found, shapes, _ = self._designed(self.card.channel, self.card.channel.factors(self.control(circuit)))
        else:
            found, shapes, _ = self._conducting(circuit)
        flat = found.reshape(*found.shape[:2], -1)
        return Siemens(moving=MovingConductance(self.source, self.lead, self.runs, self.volts, flat, shapes))

    def _columns(self, circuit: Circuit, conducting: Conducting) -> tuple[Array, tuple[Polynomial, ...]]:
        """(Σ_i of what the units of a driving node conduct, by shape: (P, r, in) [A]; the shapes)."""
        (found, shapes, _), here = conducting, self._present(circuit)
        whole = found.sum(axis=1)
        parts = [
            np.broadcast_to(whole[s], (b - a, *whole[s].shape))
            if here[a:b].all()
            else np.tensordot(here[a:b].astype(float), found[s], (1, 0))
            for a, b, s in self.runs
        ]
        return np.concatenate(parts), shapes

    def meter(self, circuit: Circuit) -> Meter:
        units = np.broadcast_to(self.volts, (self.runs[-1][1], self.volts.shape[1]))
        conducting = self._conducting(circuit)
        columns, shapes = self._columns(circuit, conducting)
        law = ColumnLaw.of(self.source, self.lead, shapes, columns, units.copy())
        return Meter(rest=law, common=self._common_mode(circuit), load=self._row_sums(circuit, conducting))

    def _common_mode(self, circuit: Circuit) -> dict[str, Array]:
        """−2 Σ m e(V_ij, v_j) of equal pairs [A per x²], e by its square: what flows back from both conveyors."""
        if self.card.even is None:
            return {}
        control, present = self.control(circuit), self._present(circuit)
        share = -2 * self.fingers * square_of(self.card.even, control) * (self.weight != 0)
        each = np.stack([present[p].astype(float) @ share[s] for p, s in self._positions()])
        index = np.arange(math.prod(circuit.arrays[self.source.array].shape))
        index = index.reshape(1, *circuit.arrays[self.source.array].shape)
        index = rows_of(self.source, index, self.lead, self.weight.shape[1])[0]
        found = np.zeros(circuit.arrays[self.source.array].shape)
        np.add.at(found.reshape(-1), index, each * np.broadcast_to(self.volts, index.shape) ** 2)
        return {self.source.array: found}

    def drivers(self) -> tuple[View, ...]:
        return (self.source,)

    def buffered(self, circuit: Circuit, gain: float) -> TransistorCoupling:
        """Gates and so matrices stay; ψ_r(gain · v)."""
        return replace(self, buffer_gain=gain, shapes=tuple(stretched(shape, gain) for shape in self.shapes))

    def raised(self, circuit: Circuit, volts: float) -> TransistorCoupling:
        return replace(self, lowered=lowered(self.card, volts)).programmed(circuit)

    @property
    def label(self) -> str:
        return f"{self.kind} of transistors, {self.card.unit}"

    def weights(self, circuit: Circuit) -> int:
        return self.count(circuit)

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """Gates W·L of all transistors, beside what the technology gives a unit for the rest of it."""
        gates = len(UNITS[self.card.unit]) * self.fingers * self.card.width * self.card.length
        return self.count(circuit) * (technology.coupling.area + gates)

    def peaks(self, circuit: Circuit) -> Array:
        each = np.stack([np.abs(self._siemens(circuit, s)).max(axis=1) for s in range(self.sets)])
        return self._each_position(each).reshape(circuit.arrays[self.target].shape)

    def strongest(self, circuit: Circuit) -> float:
        return float((self.peaks(circuit) * circuit.arrays[self.target].present).max())

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return [(self.source, len(self.weight), 0)]

    def blocks(self, circuit: Circuit) -> int:
        return int(np.prod(self.lead))

    def fan_in(self, circuit: Circuit) -> float:
        return float(self.weight.shape[1])

    def extent(self, circuit: Circuit) -> tuple[int, ...]:
        return tuple(self.weight.shape)

    def columns(self, circuit: Circuit) -> int:
        return int(self.weight.shape[1])

    def count(self, circuit: Circuit) -> int:
        return int(np.count_nonzero(self.weight)) * int(np.prod(self.lead))

    # --- programming ----------------------------------------------------------------------------------

    def control(self, circuit: Circuit) -> Array:
        """Control volts (sets, out, in) of each unit, as wanted or as the DAC wrote them."""
        if self.written is not None:
            return self.written
        return np.stack([control_of(self.card, self._wanted(circuit, s)) for s in range(self.sets)])

    def _wanted(self, circuit: Circuit, s: int, rows: slice = slice(None)) -> Array:
        """|G|/m [S] that the weights ask of a finger."""
        current = self._amperes(circuit)[s][rows, None] * np.abs(np.asarray(self.weight[rows], float))
        return current / self._volts_of(s) / self.fingers

    def programmed(self, circuit: Circuit) -> TransistorCoupling:
        """With the matrices that its gates make of its devices."""
        out, width = self.weight.shape
        drawn = self._drawn()
        shapes, mix, slopes = basis_of(self.card, erring=drawn.run is not None)
        shapes = tuple(stretched(shape, self.buffer_gain) for shape in shapes)
        matrices = np.empty((self.sets, out, len(shapes) * width), self.weight.dtype)
        step = max(1, BLOCK // width)
        for s, amperes in enumerate(self._amperes(circuit)):
            for rows in (slice(k, k + step) for k in range(0, out, step)):
                w = np.asarray(self.weight[rows], float)
                here = None if drawn.run is None else drawn.run.rows(rows)
                drive = np.sign(w) * self.fingers / amperes[rows, None]
                factors = factors_of(self.card, self._gates(circuit, s, rows, drawn) - self.lowered, here) @ mix
                matrices[s, rows] = (factors * drive[:, :, None]).transpose(0, 2, 1).reshape(len(w), -1)
        made = replace(self, matrices=matrices, shapes=shapes, slopes=slopes)
        share = None if self.errors is None else self.errors.share(self.weight, self.volts[-1])
        return made if share is None else made.scaled(share)

    def _drawn(self) -> Drawn:
        return Drawn() if self.errors is None else self.errors.drawn(self.card, self.fingers, self.weight.shape)

    def _gates(self, circuit: Circuit, s: int, rows: slice, drawn: Drawn) -> Array:
        """Control volts of some rows as they were written: for the weights, on the DAC's levels, or trimmed."""
        wanted = self._wanted(circuit, s, rows)
        control = control_of(self.card, wanted) if self.written is None else self.written[s][rows]
        if drawn.chip is None or drawn.residual is None:
            return control
        wanted = wanted * (1 + drawn.residual[rows])
        return verified_control(self.card, control, wanted, drawn.chip.rows(rows), self.dac, self.lowered)

    def quantized(self, circuit: Circuit, dac: Converter) -> TransistorCoupling:
        """Control voltages on the levels of a DAC over their range."""
        written = dac(self.control(circuit), self.card.reach)
        return replace(self, written=written, dac=dac).programmed(circuit)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TransistorCoupling:
        if not (spread.of_transistors or spread.mismatch or spread.vt_mismatch):
            return self
        strongest = row_peaks(np.asarray(self.weight, float), 1 / self.volts[-1:]).T if spread.vt_mismatch else 0.0
        return replace(self, errors=Errors(spread, draw, self.name, strongest)).programmed(circuit)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TransistorCoupling:
        own = self.errors or Errors(Spread(), draw, self.name)
        return replace(self, errors=replace(own, flicker=flicker, run=draw)).programmed(circuit)

    def scaled(self, share: Array) -> TransistorCoupling:
        """Each unit's current times so much, (out, in)."""
        out, width = self.weight.shape
        matrices = self.matrices.reshape(self.sets, out, -1, width) * share[:, None, :].astype(self.matrices.dtype)
        return replace(self, matrices=matrices.reshape(self.matrices.shape))

    # --- netlist --------------------------------------------------------------------------------------

    def tile(self, rows: Array, columns: Array) -> TransistorCoupling:
        keep = rows[:, None] & columns[None, :]
        return replace(self.scaled(keep), weight=self.weight * keep)

    def _drivers(self, sheet: Sheet) -> tuple[Array, Array]:
        """(names of the driving nodes, mask of those that exist), (P, in) each."""
        index = np.arange(sheet.names[self.source.array].size).reshape(1, *sheet.names[self.source.array].shape)
        index = rows_of(self.source, index, self.lead, self.weight.shape[1])[0]
        names, present = sheet.names[self.source.array], sheet.present(self.source.array)
        return names.reshape(-1)[index], present.reshape(-1)[index]

    def spice(self, sheet: Sheet) -> list[str]:
        """A node for each shape of each driving node, 1 V as 1; from there one G element a unit and shape."""
        names, shown = self._drivers(sheet)
        ports = sheet.ports(self.target).reshape(names.shape[0], -1)
        present, amperes, label = self._present(sheet.circuit), self._amperes(sheet.circuit), sheet.prefix("s")
        lines: list[str] = []
        for k, shape in enumerate(self.shapes):
            drivers = np.unique(names[shown].astype(str)).astype(object)
            every, node = np.ones(drivers.shape, bool), f"%s:{label}{k}"
            laws = np.array([text(shape, f"V({driver})") for driver in drivers], object)
            lines += elements(sheet.prefix("B"), f"0 {node} I=%s", every, drivers, laws)
            lines += elements(sheet.prefix("R"), f"{node} 0 1", every, drivers)
            for p, s in self._positions():
                factor = self.matrices[s].reshape(len(self.weight), -1, self.weight.shape[1])[:, k]
                keep = (factor != 0) & present[p][:, None] & shown[p][None, :]
                value = amperes[s][:, None] * factor
                lines += elements(sheet.prefix("G"), f"0 %s {node} 0 %.12g", keep, ports[p][:, None], names[p], value)
        return lines + load_lines(sheet, self)

    def _positions(self) -> Iterator[tuple[int, int]]:
        """(position, its set)."""
        for a, b, s in self.runs:
            yield from ((p, s) for p in range(a, b))

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """The units themselves, with this chip's gates and transistors."""
        names, shown = self._drivers(sheet)
        present, drawn, signed = self._present(sheet.circuit), self._drawn(), np.asarray(self.weight, float)
        share = None if self.errors is None else self.errors.share(self.weight, self.volts[-1])
        devices = drawn.run
        if share is not None:  # it may turn a weak unit round
            signed = signed * share
            alike = np.zeros((len(UNITS[self.card.unit]), *signed.shape))
            devices = devices or Devices(alike, alike)
        into = sheet.names[self.target].reshape(present.shape)
        gates = [self._gates(sheet.circuit, s, slice(None), drawn) for s in range(self.sets)]
        lines: list[str] = []
        for p, s in self._positions():
            row, column = np.nonzero((signed != 0) & present[p][:, None] & shown[p][None, :])
            chosen = (names[p][column], into[p][row], np.sign(signed[row, column]), gates[s][row, column])
            times = 1.0 if share is None else abs(share[row, column])
            own = None if devices is None else devices.at(row, column, times)
            lines += units(sheet, self.card, self.fingers, *chosen, devices=own)
        return lines

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """Driver by driver |v Σ_i I_ij|."""
        names, shown = self._drivers(sheet)
        each, shapes = self._columns(sheet.circuit, self._conducting(sheet.circuit))
        columns = np.tensordot(each.transpose(0, 2, 1), padded(shapes), (2, 0))
        keep = shown & columns.any(axis=-1)
        rows = zip(columns[keep] * scale, names[keep], strict=True)
        laws = np.empty(keep.shape, object)
        laws[keep] = [f"abs(V({name})*{text(tuple(row), f'V({name})')})" for row, name in rows]
        return elements(sheet.prefix("B"), f"0 {meter} I=%s", keep, laws)
