"""Noise of the transistors inside transfer cells: saturated channels, in one law from weak to strong inversion.

    4kT·G(I),     G = a (I / V_T) / (1 + √(1 + 4 I/I_s))           V_T = kT/q

the transconductance of the EKV model (Enz, Krummenacher & Vittoz, AICSP 8, 1995) times a constant. In weak inversion, I
far under the specific current I_s, 4kT·G = 2qI·a: shot noise for a = 1.

A mirror's diode is a pole, τ_m = C / g_m = C′/G(I); its gate's charge goes with that of the channel, so C′ rises with
√(1 + 4 I/I_s) (ibid.). Noise of a cell is stated as the white noise of equal variance: behind lags of aτ and bτ there
is left in a node of τ

    ∫ dω / |(1 + iω) (1 + iωa) (1 + iωb)|²  /  ∫ dω / |1 + iω|²   =   (1 + ab/(a + b)) / ((1 + a) (1 + b))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..arrays import module_of
from ..errors import Error, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..circuit import Circuit
    from .conveyor_loop import ConveyorLoop
    from .node import NodeArray

Array = Any
LEAST = 1e-15  # A: a current that is none, so that its pole is a number


@dataclass(frozen=True)
class Channel:
    """factor: a; current: I_s [A]; capacitance [F] + charge [F] · √(1 + 4 I/I_s): C′ of a diode, by its noise
    conductance."""

    factor: float
    current: float
    capacitance: float = 0.0
    charge: float = 0.0

    def siemens(self, amperes: Array, thermal_voltage: float) -> Array:
        """G [S] at drain currents I >= 0 [A]; thermal_voltage: kT/q [V]."""
        return self.factor / thermal_voltage * amperes / (1 + self.bend(amperes))

    def bend(self, amperes: Array) -> Array:
        """√(1 + 4 I/I_s): 1 in weak inversion."""
        return module_of(amperes).sqrt(1 + 4 / self.current * amperes)

    def seconds(self, amperes: Array, thermal_voltage: float) -> Array:
        """τ [s] of the pole at drain currents I > 0 [A]."""
        farads = self.capacitance + self.charge * self.bend(amperes)
        return farads / self.siemens(amperes, thermal_voltage)

    def wide(self, times: float) -> Channel:
        """Of a transistor so many times as wide."""
        return Channel(self.factor, *(times * value for value in (self.current, self.capacitance, self.charge)))


@dataclass(frozen=True)
class Ends:
    """The end of a coupling's finger that a conveyor holds, over gates [V]: admittance G + iC [S, F]; bias [V]: of the
    gates of products' quads."""

    gates: Array
    admittance: Array
    bias: float = 0.0

    def of(self, gates: Array) -> Array:
        return np.interp(gates, self.gates, self.admittance)


@dataclass(frozen=True)
class Channels:
    """What ngspice measured of the cells' transistors (`measure_channels`).

    Of a pair, for 1 A of tail current: its branches, and what their sources conduct into the tail, whose pole it is;
    tail: its sink, as so many times the shot noise of its current; sink [F]: the sink's own capacitance.
    Output mirrors at ratio 1 (`mos/mirror.py`), p- and n-channel; turned: gain of the n-channel one.
    A rectifier's mirrors together, by the current of its diode (`mos/rectifier.py`): doubled: gain of their copies,
    turner: pole of the one that turns round; overdrive [V] of the device in front of them; conveyor [S]: noise of the
    copy that its conveyor makes.
    Of a node's conveyors: loop, their poles, None of ideal ones; ends: what couplings hang on their inputs.
    Of a finger of a product's quad (`mos/product.py`), difference [S] of its pairs' conductances at the largest control
    and standing [S], their sum.
    """

    branch: Channel
    source: Channel
    p: Channel
    n: Channel
    rectifier: Channel
    tail: float
    difference: float
    standing: float
    sink: float = 0.0
    turned: float = 1.0
    doubled: float = 2.0
    turner: Channel = Channel(1.0, 1.0)
    overdrive: float = np.inf
    conveyor: float = 0.0
    loop: ConveyorLoop | None = None
    ends: Ends | None = None

    def plot(self) -> Figure:
        """Noise and poles over current; see `pictures.plot_channels`."""
        from .pictures import plot_channels

        return plot_channels(self)


@dataclass(frozen=True)
class Tail:
    """A pair's tail: amperes: of it; branches: how many hang on it, by row; tau [s]: of the node; thermal_voltage [V].

    A branch's own noise current i leaves it as i (1 − w L), and each other branch as −w_j L i: w the share of its
    source in what all sources conduct, L the lag of the tail. The sink's leaves a branch as w L.
    """

    channels: Channels
    amperes: float
    branches: Array
    tau: Array
    thermal_voltage: float

    @property
    def shot(self) -> float:
        """G [S] of the sink."""
        return self.channels.tail * self.amperes / (2 * self.thermal_voltage)

    def noise(self, amperes: Array) -> Array:
        """G [S] of the branches' own currents."""
        return self.channels.branch.wide(self.amperes).siemens(amperes, self.thermal_voltage)

    def sources(self, amperes: Array) -> Array:
        """What their sources conduct [S]."""
        return self.channels.source.wide(self.amperes).siemens(amperes + LEAST, self.thermal_voltage)

    def late(self, siemens: Array) -> Array:
        """τ of the tail over the node's, where sources conduct so much [S] together."""
        farads = self.channels.sink + self.branches * self.channels.source.capacitance
        return farads * self.amperes / siemens / self.tau


@dataclass(frozen=True)
class OutputMirrors:
    """Mirrors that turn a branch's I into r·I in a node: r into one conveyor and, turned round, r out of the other.

    ratio: r, by node; tau [s]: of the node; thermal_voltage [V].
    """

    channels: Channels
    ratio: Array
    tau: Array
    thermal_voltage: float

    def noise(self, amperes: Array, shot: Array, lagging: Array = 0.0, late: Array = 0.0) -> Array:
        """G [S] in the node of a branch of I [A] whose own current has `shot` [S], and `lagging` [S] by the square of a
        lag of `late` times the node's (it may be negative: what the lag takes off).

        Half the difference of both ends: the branch and the p diode, r each; p's copy and the turned one, r wide, ½
        each; the n-channel diode and its copy, ½ each:  r² (G_b + G_p) + ½ r G_p(I) + ½ G_n(r I) at turned = 1, each
        less by the poles it passes. Of ½ (1 + κ L_n), κ the turned gain, |…|² = ¼ + (½ κ + ¼ κ²) |L_n|².
        """
        amperes, r, kept = amperes + LEAST, self.ratio + LEAST, self.channels.turned
        p, n = self.channels.p, self.channels.n
        of_p, of_n = p.siemens(amperes, self.thermal_voltage), n.siemens(r * amperes, self.thermal_voltage)
        late_p = (1 + 2 * r) / 3 * p.seconds(amperes, self.thermal_voltage) / self.tau
        late_n = n.seconds(r * amperes, self.thermal_voltage) / self.tau
        straight = (shot + of_p) * left(late_p) + lagging * left(late_p, late)
        both = straight * (1 + (2 * kept + kept**2) * left(late_p, late_n) / left(late_p))
        return (r * r * both + (r * of_p) * (1 + kept**2 * left(late_n)) + of_n * (1 + kept**2 * left(late_n))) / 4


def left(first: Array, second: Array = 0.0) -> Array:
    """Share of white noise's variance in a node that is left behind lags of so many times the node's own."""
    return (1 + first * second / (first + second + LEAST)) / ((1 + first) * (1 + second))


def with_channels(circuit: Circuit, channels: Channels | None) -> Circuit:
    """A copy of a circuit whose products, transfer cells and conveyors have the noise of measured transistors; None: of
    ideal cells, and conveyors without poles. These have what couplings of transistors hang on their inputs, the mean
    over an array."""
    if not hasattr(circuit, "with_terms"):
        raise Error(f"circuit is {shown(circuit)}: give a Circuit; that of a chip is its .circuit")
    if channels is not None:
        checks.made("channels", channels, Channels, "give what measure_channels returns, or None for ideal cells")
    circuit = circuit.with_terms([term.measured(channels) for term in circuit.terms.values()])
    nodes = [node for node in circuit.arrays.values() if not (node.is_inner or node.clamped)]
    return circuit.with_terms((), [replace(node, loop=_loop(circuit, node, channels)) for node in nodes])


def check_poles_come_later(circuit: Circuit, function: str) -> None:
    """Raises Error where conveyors have poles already: they are those of its r_x and of the couplings on its input, and
    `function` is about to change these."""
    for node in circuit.arrays.values():
        if node.loop is not None:
            raise Error(
                f"conveyors of {node.name!r} have the poles of r_x = {node.input_resistance:g} Ω and of the couplings "
                f"they have now: call {function} first, then with_channels"
            )


def _loop(circuit: Circuit, node: NodeArray, channels: Channels | None) -> ConveyorLoop | None:
    if channels is None or channels.loop is None or channels.ends is None:
        return None if channels is None else channels.loop
    each = np.zeros(node.shape, complex)
    for term in circuit.into(node.name):
        hung = term.hung(circuit, channels.ends) if term.conveyed else 0.0
        if np.any(hung):
            each += hung - 2 * np.broadcast_to(term.loading(circuit)[0], node.shape)
    mean = complex((each * node.present).sum()) / max(node.count, 1)
    return channels.loop.wired(node.input_resistance / 2, mean.imag, mean.real)


def time_constant(node: Any) -> Array:
    """C/g [s] of nodes, in their shape."""
    return np.broadcast_to(np.asarray(node.time_constants / node.ratio, float), node.shape)
