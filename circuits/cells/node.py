"""Node unit: a capacitor, its feedback conductance, and the conveyor that delivers the current (DESIGN §1).

    C dv/dt = limit(I; g(v)·V_rail) − g(v)·v + g·offset

with I the sum of the term's currents. In logical units x = v/U, with g₀ the node's reference conductance:

    (C/g₀) dx/dt = limit(d; γ·R) − γ·x          d = I / g₀U,   γ = g(v)/g₀,   R = V_rail/U

Feedback. γ = ratio, constant; or driven by another node (the control port of a MOS resistor, which cuts off and
never goes negative): γ = floor + ramp(K x_c − floor, floor/2). The control's offset is floor/K, so from 1.5 × floor
on γ is exactly K·x_c: g_min's bias on roots and divisions is taken out by the offset, not by the mapping.

Rails. The conveyor's bias is a replica of the feedback device at V_rail: it can deliver at most g(v)·V_rail, so
|v| ≤ V_rail whatever the drive, without wind-up, and the node's own equation stays linear in v. The limiter is
exactly linear up to (1 − knee)·V_rail and twice differentiable everywhere. Passive couplings go past the conveyor,
straight onto the capacitor: neither its limit nor its input resistance concerns them, and as plain resistors between
nodes within their rails they push no node beyond its own.

Conveyor: with L = ΣG of the couplings at its input it delivers the share α = c/(1 + r_x L) of every current that is
pushed in there, r_x its input resistance, c the gain of its copies.

Noise: 4kT·g(v) of the feedback, one-sided [A²/Hz]; r_x is a noisy resistor too, 4kT·r_x (αL)²; of a cell's density α²
arrives. Couplings and r_x together make 4kT·L/(1 + r_x L), that of the resistors in series. A passive RC gives kT/C.
A conveyor of transistors adds 4kT·(G_n + R_n (αL)²): its output's current noise, and its amplifier's voltage noise,
which pushes current through whatever hangs on its input (Rothe & Dahlke, Proc. IRE 44(6), 1956); with a `loop`, the
white noise of equal variance (`conveyor_loop.py`).
Mismatch: `offset`, a static voltage the node settles off by. Dissipation g(v)·v²; supply: the conveyor's bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import checks
from ..errors import Error
from .conveyor_loop import ConveyorLoop, noise_of
from .feedback import Controlled, Feedback
from .mos.node import node_units
from .mos.unequal import differs
from .power import Meter
from .smooth import limit, limit_slope
from .spice import elements, knee

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from ..technology_parts import Conveyor
    from .conveyor_errors import Conveyors
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

Array = Any
KNEE = 0.1  # half-width of the rail's knee, as a share of the rail
CUDA = f"""
// the laws of node.py; a feedback: its gain K, and `least`, the floor
__device__ __forceinline__ REAL feedback_ratio(REAL control, REAL gain, REAL least) {{
    return least + ramp(gain * control - least, least / 2);
}}
__device__ __forceinline__ REAL feedback_slope(REAL control, REAL gain, REAL least) {{
    return gain * ramp_slope(gain * control - least, least / 2);
}}
// what a root node's conveyor delivers at most; any other's: γ reach
__device__ __forceinline__ REAL root_bound(REAL drive, REAL reach, REAL gain, REAL least) {{
    return drive > 0 ? gain * reach * reach : least * reach;
}}
__device__ __forceinline__ REAL delivered(REAL drive, REAL bound) {{ return limit(drive, bound, (REAL){KNEE}); }}
// how far a drive is beyond the linear part, where more than 0
__device__ __forceinline__ REAL past_knee(REAL drive, REAL bound) {{ return fabs(drive) - (1 - (REAL){KNEE}) * bound; }}
__device__ __forceinline__ bool saturated(REAL drive, REAL bound) {{ return past_knee(drive, bound) > 0; }}
__device__ __forceinline__ REAL settled_root(REAL drive, REAL gain, REAL least, REAL standing, REAL offset) {{
    REAL x = offset + (drive > 0 ? sqrt(drive / gain) : drive / (least + standing));
    for (int turn = 0; turn < 8; ++turn) {{
        const REAL gamma = feedback_ratio(x, gain, least) + standing, away = x - offset;
        x -= (gamma * away - drive) / (gamma + feedback_slope(x, gain, least) * away);
    }}
    return x;
}}
"""


@dataclass(frozen=True)
class NodeArray:
    """An array of node units of one kind.

    name, shape: activations it carries, (positions, width) or (heads, positions, positions), …
    unit: volts per logical unit U, broadcastable to shape.
    capacitance [F] and ratio (constant feedback as a share of g₀), broadcastable to shape; conductance g₀ [S].
    rail [V]: None for the ideal node; held: a node that rests on it is meant to, and no error.
    full_scale [V]: the settled range calibration gave; errors are shares of it.
    input_resistance r_x [Ω] of the conveyor: its couplings see Σ|G| r_x of loading; current_gain c, one or by node:
        what it delivers of the current at its input. noise_siemens G_n [S], noise_ohms R_n [Ω]: its own; loop: poles.
    offset [V]: static, broadcastable. exists: bool mask of nodes that are there (None: all).
    layer: label under which energy and error are reported and elements are chosen together.
    clamped: an input, its voltage prescribed by the run; stored: it holds that itself (a hold capacitor, a digital
    line) and no converter writes it.
    conveyors: of transistors that may differ; own [V]: their part of a chip's offset, which a netlist of them has.
    """

    name: str
    shape: tuple[int, ...]
    unit: Array = 1.0
    capacitance: Array = 49e-15
    conductance: float = 32.26e-6
    ratio: Array = 1.0
    feedback: Feedback | None = None
    rail: float | None = 0.5
    held: bool = False
    full_scale: Array = 1 / 3
    input_resistance: float = 0.0
    current_gain: Array = 1.0
    noise_siemens: float = 0.0
    noise_ohms: float = 0.0
    loop: ConveyorLoop | None = field(default=None, metadata={"host": True})
    offset: Array = 0.0
    exists: Array | None = None
    layer: str = ""
    clamped: bool = False
    stored: bool = False
    conveyors: Conveyors | None = field(default=None, metadata={"host": True})
    own: Array = field(default=0.0, metadata={"host": True})

    def __post_init__(self) -> None:
        """Raises Error for sizes and values that no node has."""
        what, shape = f"of array {self.name!r}", self.shape
        sizes: tuple[Any, ...] = shape if isinstance(cast(Any, shape), tuple) else (None,)
        if not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
            raise Error(f"shape {what} is {shape!r}: give a tuple of whole numbers above 0, such as (3,)")
        for name in ("unit", "capacitance", "full_scale", "current_gain"):
            checks.positive(f"{name} {what}", getattr(self, name), shape)
        checks.number(f"conductance {what}", self.conductance, "give siemens, above 0", above=0)
        checks.number(f"input_resistance {what}", self.input_resistance, "give ohms, 0 (ideal) or more", least=0)
        checks.number(f"noise_siemens {what}", self.noise_siemens, "give siemens, 0 (none) or more", least=0)
        checks.number(f"noise_ohms {what}", self.noise_ohms, "give ohms, 0 (none) or more", least=0)
        if self.rail is not None:
            checks.number(f"rail {what}", self.rail, "give volts above 0, or None for the ideal node", above=0)
        for name in ("ratio", "offset"):
            checks.values(f"{name} {what}", getattr(self, name))
            checks.fits(f"{name} {what}", getattr(self, name), shape)
        if self.exists is not None and np.shape(self.exists) != shape:
            raise Error(f"exists {what} has shape {np.shape(self.exists)}: give a mask of shape {shape}")

    @property
    def time_constants(self) -> Array:
        """C/g₀ in seconds, one or broadcastable to shape."""
        return self.capacitance / self.conductance

    @property
    def time_constant(self) -> float:
        """The longest C/g₀ of the array in seconds."""
        return float(np.max(self.time_constants))

    @property
    def present(self) -> Array:
        """Mask of the nodes that exist, in the array's shape."""
        return np.ones(self.shape, bool) if self.exists is None else np.asarray(self.exists, bool)

    @property
    def count(self) -> int:
        """Nodes that exist."""
        return int(np.count_nonzero(self.present))

    def area(self, technology: Technology) -> float:
        """Silicon [m²] of capacitors and feedback; 0 for inputs whose nodes belong to the converters."""
        return 0.0 if self.clamped and not self.stored else self.count * technology.node.area

    @property
    def is_root(self) -> bool:
        """Whether the node's own voltage drives its feedback."""
        return self.feedback is not None and self.feedback.control == self.name

    @property
    def is_inner(self) -> bool:
        """Whether this is no node unit but inside of another cell: it has neither noise nor reset of its own."""
        return False

    @property
    def bends(self) -> bool:
        """Whether the node's own voltage bends its equation, so that `pull` states it."""
        return self.is_root

    def pull(self, x: Array, drive: Array, standing: Array, offset: Array) -> tuple[Array, Array]:
        """τ dx/dt at x and minus its derivative, of a node that drives its own feedback: d − γ(x)(x − offset)."""
        assert self.feedback is not None
        gamma, away = self.feedback.ratio(x) + standing, x - offset
        return drive - gamma * away, gamma + self.feedback.slope(x) * away

    @property
    def cuda_law(self) -> tuple[str, str]:
        """`pull` and `guess` in CUDA, of a node that bends: statements that set rate[q] and slope[q] from x[q], d[q],
        and an expression of d[q] and the value `before` the element."""
        pull = """
            const REAL gamma = feedback_ratio(x[q], gain, least) + standing, away = x[q] - offset;
            rate[q] = d[q] - gamma * away;
            slope[q] = gamma + feedback_slope(x[q], gain, least) * away;"""
        return pull, "before"

    @property
    def grain(self) -> float:
        """What Newton's method is exact to rounding of, or of x where that is more [logical units]: of x alone."""
        return 1e-30

    def guess(self, start: Array, drive: Array) -> Array:
        """Where Newton's method begins on an element of a node that bends: the value before it."""
        return start

    def loaded(self, farads: Array) -> NodeArray:
        """These nodes with all that hangs on them: their own capacitor, wire and gates [F]."""
        return replace(self, capacitance=farads)

    def limits(self, gamma: Array) -> tuple[Array, Array] | None:
        """Largest drive (towards minus, towards plus) the conveyor delivers at γ; None without rails."""
        if self.rail is None:
            return None
        reach = self.rail / self.unit
        if self.is_root:
            assert self.feedback is not None
            return self.feedback.floor * reach, self.feedback.gain * reach * reach
        return gamma * reach, gamma * reach

    def bound(self, drive: Array, gamma: Array) -> Array | None:
        """Of `limits` the one that a drive tends to."""
        bounds = self.limits(gamma)
        if bounds is None or not self.is_root:
            return None if bounds is None else bounds[1]
        return np.where(drive > 0, bounds[1], bounds[0])

    def delivered(self, drive: Array, gamma: Array) -> Array:
        """limit(drive): what reaches the capacitor."""
        bound = self.bound(drive, gamma)
        return drive if bound is None else limit(drive, bound, KNEE)

    def delivered_slope(self, drive: Array, gamma: Array) -> Array:
        """d delivered / d drive at fixed γ."""
        bound = self.bound(drive, gamma)
        return 1.0 if bound is None else limit_slope(drive, bound, KNEE)

    def saturated(self, drive: Array, gamma: Array) -> Array:
        """Mask of nodes whose drive is beyond the linear part of the rail, and not meant to be."""
        bound = None if self.held else self.bound(drive, gamma)
        return np.zeros(np.shape(drive), bool) if bound is None else abs(drive) > (1 - KNEE) * bound

    def attenuation(self, load: Array) -> Array:
        """Share of a current at the conveyor's input that it delivers; `load` [S]: ΣG of the couplings there."""
        return self.current_gain / (1 + self.input_resistance * load)

    def conveyor_resistance(self, conveyor: Conveyor, load: Array) -> Array:
        """r_x [Ω] that each node's conveyor is built to have, where `load` [S] is ΣG at its input: this node's own, and
        for an ideal one (0) the technology's, or less where that would leave a gain error r_x ΣG over what is allowed.
        """
        if self.input_resistance > 0:
            return np.broadcast_to(self.input_resistance, self.shape)
        most = conveyor.gain_error / np.maximum(load, np.finfo(float).tiny)
        return np.minimum(conveyor.input_resistance, np.broadcast_to(most, self.shape))

    def noise_conductance(self, gamma: Array, load: Array) -> Array:
        """G [S] whose 4kT·G is the noise of the node's own devices: feedback g₀γ, and conveyor."""
        return self.conductance * gamma + noise_of(self, load)

    def meter(self, circuit: Circuit) -> Meter:
        """Heat g(v)·v² of the feedback; supply: its current g(v)·|v|, which the conveyor delivers at rest."""
        unit = circuit.units(self.name)
        amperes = self.conductance * unit * self.present
        if self.feedback is not None:
            return Meter(rest=Controlled(self.name, self.feedback, amperes, unit))
        amperes = amperes * self.ratio
        return Meter(heat={self.name: amperes * unit}, supply={self.name: amperes})

    # --- imperfections ---------------------------------------------------------------------------------

    def fabricate(self, spread: Spread, draw: Draw) -> NodeArray:
        """These nodes of one chip: off by offsets, σ a share of full scale, and by unequal conveyors."""
        if self.clamped:
            return self
        unequal, offset = self.conveyors is not None and differs(spread), self.offset
        share = spread.auto_zero if unequal and spread.auto_zero is not None else spread.offset
        if share:
            sigma = share * np.broadcast_to(np.asarray(self.full_scale, float), self.shape)
            offset = offset + self.present * sigma * draw(self.name, "node offset", self.shape)
        if self.conveyors is None or not unequal:
            return replace(self, offset=offset) if share else self
        made = self.conveyors.of_chip(spread, draw, self.name)
        own = self.present * made.amperes / self.conductance
        offset = offset + (own if spread.auto_zero is None else 0.0)
        return replace(self, offset=offset, own=own, conveyors=made, current_gain=self.current_gain * made.gains)

    def flickering(self, volts: float, draw: Draw) -> NodeArray:
        """These nodes in one run: each off by what its conveyors' 1/f noise is at g, σ in volts."""
        if self.clamped:
            return self
        return replace(self, offset=self.offset + self.present * volts * draw(self.name, "flicker", self.shape))

    # --- netlist --------------------------------------------------------------------------------------

    def spice(self, sheet: Sheet, standing: Array) -> list[str]:
        """One unit a node, and where another array drives the feedback the nodes `:ratio` that carry γ.

        standing [S]: passive couplings' load on the node, which its offset is multiplied by too.
        """
        here, share = sheet.present(self.name), np.asarray(standing) / self.conductance
        ends = (sheet.ports(self.name), sheet.names[self.name])
        values = (share, self.offset, self.capacitance, self.current_gain)
        feedback = self.feedback
        if feedback is None:
            unit = sheet.variants("node", "x y", here, self._spice_fixed, self.ratio, *values)
            return elements(sheet.prefix("X"), "%s %s %s", here, *ends, unit)
        if self.is_root:
            k = feedback.gain / sheet.circuit.units(self.name)
            unit = sheet.variants("root", "x y", here, self._spice_root, k, *values)
            return elements(sheet.prefix("X"), "%s %s %s", here, *ends, unit)
        lines, ratio = self._spice_ratio(sheet)
        unit = sheet.variants("controlled", "x y ratio", here, self._spice_controlled, *values)
        return lines + elements(sheet.prefix("X"), "%s %s %s %s", here, *ends, ratio, unit)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """The same in transistors; passive couplings load the node themselves."""
        return node_units(sheet, self)

    def _spice_unit(self, excess: str, feedback: str, farads: float, gain: float) -> list[str]:
        """Elements of a node unit: conveyor from x to y, what its limiter keeps back, capacitor, feedback.

        V(x) is the current times r: r_x, or where that is 0 1/g₀, which makes V(x) the voltage aimed at.
        """
        r = self._spice_resistance
        limiter = [f"B1 y 0 I={excess}"] if self.rail is not None else []
        conveyor = [
            "* node unit: conveyor from x to y, what its limiter keeps back, capacitor, feedback",
            f"R1 x 0 {r:.12g}",
            f"G1 0 y x 0 {gain / r:.12g}",
        ]
        return [*conveyor, *limiter, f"C1 y 0 {farads:.12g}", feedback]

    @property
    def _spice_resistance(self) -> float:
        return self.input_resistance or 1 / self.conductance

    def _spice_excess(self, ratio: float, gain: float, by: str = "") -> str:
        """Current that the limiter keeps back (0 where linear), its bound ratio·g₀·V_rail; `by`: times that node."""
        if self.rail is None:
            return ""
        bound = ratio * self.conductance * self.rail
        reach = bound * self._spice_resistance / gain
        times, per = (f"*V({by})", f"/V({by})") if by else ("", "")
        bend = knee(f"abs(V(x))*{0.5 / KNEE / reach:.11g}{per}-{(1 - KNEE) * 0.5 / KNEE:.11g}")
        over = f"abs(V(x))*{bound / reach:.11g}-{bound:.11g}{times}"
        inner = f"abs(V(x))>{(1 + KNEE) * reach:.11g}{times} ? {over} : {2 * KNEE * bound:.11g}{times}*{bend}"
        return f"abs(V(x))<{(1 - KNEE) * reach:.11g}{times} ? 0 : sgn(V(x))*({inner})"

    def _spice_fixed(self, ratio: float, share: float, offset: float, farads: float, gain: float) -> list[str]:
        own = f"G2 y 0 y 0 {ratio * self.conductance:.12g}"
        lines = self._spice_unit(self._spice_excess(ratio, gain), own, farads, gain)
        return lines + ([f"I1 0 y {(ratio + share) * self.conductance * offset:.12g}"] if offset else [])

    def _spice_root(self, k: float, share: float, offset: float, farads: float, gain: float) -> list[str]:
        assert self.feedback is not None
        up, down = (self._spice_excess(most, gain) for most in (k * (self.rail or 0.0), self.feedback.floor))
        gamma = self.feedback.spice("y", k)
        away = f"{gamma}*V(y)" + (f"-({share:.11g}+{gamma})*({offset:.11g})" if offset else "")
        drawn = f"B2 y 0 I={self.conductance:.11g}*({away})"
        return self._spice_unit(f"V(x)>0 ? ({up}) : ({down})", drawn, farads, gain)

    def _spice_controlled(self, share: float, offset: float, farads: float, gain: float) -> list[str]:
        g = f"{self.conductance:.11g}"
        feedback = f"B2 y 0 I={g}*(V(ratio)*V(y)-(V(ratio)+{share:.11g})*({offset:.11g}))"
        return self._spice_unit(self._spice_excess(1.0, gain, "ratio"), feedback, farads, gain)

    def _spice_ratio(self, sheet: Sheet) -> tuple[list[str], Array]:
        """Lines that make γ, and the name of each node's γ (nodes of equal control and gain share it)."""
        assert self.feedback is not None
        k = np.asarray(self.feedback.gain / sheet.circuit.units(self.feedback.control))
        shape = (1,) * (len(self.shape) - k.ndim) + k.shape
        first = tuple(slice(None) if n == m else slice(1) for n, m in zip(shape, self.shape, strict=True))
        shared = tuple(axis for axis, (n, m) in enumerate(zip(shape, self.shape, strict=True)) if n != m)
        used = sheet.present(self.name).any(axis=shared, keepdims=True)
        ratio = sheet.names[self.name][first] + ":ratio"
        unit = sheet.variants("feedback", "c ratio", used, self._spice_control, k)
        ends = (sheet.names[self.feedback.control], ratio, unit)
        return elements(sheet.prefix("X"), "%s %s %s", used, *ends), np.broadcast_to(ratio, self.shape)

    def _spice_control(self, k: float) -> list[str]:
        assert self.feedback is not None
        law = f"B1 0 ratio I={self.feedback.spice('c', k)}"
        return ["* feedback as a share of g0, driven by c", law, "R1 ratio 0 1"]

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """g(v) v² of the feedback."""
        here, y, g = sheet.present(self.name), sheet.names[self.name], scale * self.conductance
        if self.feedback is None:
            law = f"0 {meter} I=%.12g*V(%s)*V(%s)"
            return elements(sheet.prefix("B"), law, here, g * np.asarray(self.ratio), y, y)
        feedback, control = self.feedback, self.feedback.control

        def heat(k: float) -> list[str]:
            return ["* heat of a feedback driven by c", f"B1 0 meter I={g:.11g}*{feedback.spice('c', k)}*V(y)*V(y)"]

        unit = sheet.variants("heat", "c y meter", here, heat, feedback.gain / sheet.circuit.units(control))
        return elements(sheet.prefix("X"), f"%s %s {meter} %s", here, sheet.names[control], y, unit)
