"""What every current-pushing cell can be asked. Solver, meter and netlist writer know cells only through this.

Currents are stated *normalised*: a term's drive is its current divided by g·U of the target node (g the node's
reference conductance, U its volts per logical unit), so that with x = v/U every node obeys

    (C/g) dx/dt = limit(Σ drive) − γ(x)·x                                     (DESIGN: C dv/dt = Σ I − g(v) v)

Physical quantities (siemens, watts) are methods that look the units up in the circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import Error
from .power import Meter
from .siemens import Siemens

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .channel import Channels, Ends
    from .converter import Converter
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .programming import Programming
    from .spice import Sheet

Array = Any
Signals = Mapping[str, Array]
HOST = {"host": True}
"""Metadata of a cell's field that no run needs on its device."""


class Keeping(Mapping[str, Array]):
    """Signals that keep what was last made of one of them, so that cells with the same wish have it made once."""

    def made(self, name: str, wish: Hashable, make: Callable[[], Array]) -> Array:
        """make(), or what it gave before for the same wish of the same values of array `name`."""
        raise NotImplementedError


def made_of(x: Signals, name: str, wish: Hashable, make: Callable[[], Array]) -> Array:
    """make(), kept where the signals keep things."""
    return x.made(name, wish, make) if isinstance(x, Keeping) else make()


@dataclass(frozen=True)
class View:
    """Part of a node array as a cell reads it: columns [start, stop) of its last axis, split into `split`; the first
    axis split into `groups`; then its axes in another order; `mirrored`: the last but one axis read backwards.

    `View("h.0.attn.qkv", 0, 64, (4, 16))` reads the first 64 of (P, 192) nodes as (P, 4, 16).
    """

    array: str
    start: int | None = None
    stop: int | None = None
    split: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    mirrored: bool = False

    def of(self, signal: Array) -> Array:
        """The viewed part of a signal (K, *shape)."""
        part = signal if self.start is None else signal[..., self.start : self.stop]
        part = part.reshape(*part.shape[:-1], *self.split) if self.split else part
        part = part.reshape(len(part), *self.groups, *part.shape[2:]) if self.groups else part
        part = part.transpose(0, *(1 + axis for axis in self.axes)) if self.axes else part
        return part[..., ::-1, :] if self.mirrored else part


def as_view(source: str | View) -> View:
    return source if isinstance(source, View) else View(source)


@dataclass(frozen=True)
class Inline:
    """A cell whose current into a node follows from one value of each of a few arrays, for a kernel that reads them.

    law: an expression in CUDA of r0, r1, … (of each of `reads`, whose views broadcast to the target) and v0, v1, …
    (`values`: numbers, or arrays that broadcast to the target), of type REAL; the laws of `smooth.CUDA` may be used.
    """

    law: str
    reads: tuple[View, ...]
    values: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Rows:
    """A cell whose current into a node is a sum over a row of each of a few arrays, for a kernel that reads them once:

        share Σ_j z_j        or, where `logarithm`,        ln (share Σ_j (e^(z_j) + leak e^(max z)))

    law: z_j, an expression as in `Inline`, `absent` where there is no j; reads: views with one row (the last axes) for
    each target node, in order; values: numbers, of each j (N,), or arrays that broadcast to a view; share: a number, or
    one for each target node.
    """

    law: str
    reads: tuple[View, ...]
    values: tuple[Array, ...] = ()
    share: Array = 1.0
    logarithm: bool = False
    leak: float = 0.0
    absent: float = -1e30


class Term:
    """A cell that pushes current into the nodes of `target`.

    Leading axes: a signal is (K, *shape) with K = time points × batch; every method keeps K in front.
    """

    name: str
    target: str
    kind: ClassVar[str] = "term"
    """What reports call cells of this class."""
    of_transistors: ClassVar[bool] = False
    """Whether a chip's transistors, unequal by Pelgrom's law, are in it."""
    ends: ClassVar[tuple[str, ...]] = ()
    """Its views that it reads late where something makes it late (`transit.py`)."""

    def lacks(self, member: str) -> Error:
        """What to raise for a member that has no default."""
        return Error(
            f"cell {self.name!r} of class {type(self).__name__} lacks {member}: define it (docs/howto/own-cell.md)"
        )

    @property
    def sources(self) -> tuple[View, ...]:
        """The arrays this cell reads."""
        raise self.lacks("sources")

    def drive(self, x: Signals) -> Array:
        """Normalised current into each target node, (K, *target shape), or broadcastable to it."""
        raise self.lacks("drive")

    @property
    def inline(self) -> Inline | None:
        """`drive` node by node; None for cells that sum over nodes."""
        return None

    @property
    def rows(self) -> Rows | None:
        """`drive` row by row; None for cells that do not sum over rows, or are better off as a matrix product."""
        return None

    def jvp(self, x: Signals, dx: Signals) -> Array:
        """Derivative of `drive` along dx (arrays absent from dx do not move)."""
        raise self.lacks("jvp")

    def adjoint(self, back: Backward) -> None:
        """Adds to the adjoint circuit what carries the adjoint of the target to the adjoints of what the cell reads."""
        raise Error(f"{self.label} {self.name!r} has no adjoint: leave it out of what is trained, or use ideal cells")

    def gradient(self, x: Signals, a: Array) -> Array | None:
        """dL/d(programmed values) in their shape, summed over K: x signals, a adjoint of the target, (K, *shape). None:
        nothing is programmed."""
        return None

    def noise(self, circuit: Circuit) -> Siemens:
        """ΣG that the cell's devices show at each target node: thermal noise follows."""
        raise self.lacks("noise")

    def loading(self, circuit: Circuit) -> tuple[Array, Array]:
        """Static ΣG [S] at each target node: (through the conveyor's input, straight onto the capacitor)."""
        return 0.0, 0.0

    def peaks(self, circuit: Circuit) -> Array | None:
        """Largest conductance [S] that one programmable device must have, at each target node; None: no such device."""
        return None

    def strongest(self, circuit: Circuit) -> float | None:
        """Largest conductance [S] of one of the cell's devices as designed, its control port at full scale; None: it
        has no such device."""
        return None

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        """(view, coupling units crossed, gates driven) by one node of each view the cell reads: it loads them."""
        return [(view, 1, 0) for view in self.sources]

    def fan_in(self, circuit: Circuit) -> float:
        """Units on the wire that brings a driven node its current from this cell."""
        return 1.0

    def meter(self, circuit: Circuit) -> Meter:
        """Heat in the cell, power its drivers deliver, amperes drawn from the supply (class-B drivers: Σ|I|)."""
        raise self.lacks("meter")

    def quantized(self, circuit: Circuit, dac: Converter) -> Term:
        """This cell with its programmed values as a DAC writes them."""
        return self

    def measured(self, channels: Channels | None) -> Term:
        """This cell with the noise that its transistors were measured to have; None: that of the ideal cell."""
        return self

    def hung(self, circuit: Circuit, ends: Ends) -> Array:
        """What the cell's transistors hang on an input of each target node's conveyors, the mean of both: conductance
        and capacitance G + iC [S, F]; 0 of ideal devices."""
        return 0.0

    def buffered(self, circuit: Circuit, gain: float) -> Term:
        """This cell behind buffers of a gain: what it asks current of (`drivers`) stands at `gain` times its volts."""
        return self

    def raised(self, circuit: Circuit, volts: float) -> Term:
        """This cell where the sides of the nodes that it asks current of, or whose feedback it is, stand so far above
        the common mode."""
        return self

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Term:
        """This cell as one chip happens to have it."""
        return self

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> Term:
        """This cell in one run: its transistors' 1/f noise, A_F [V·m], which stands still for so long."""
        return self

    def programming(self, circuit: Circuit, spread: Spread, draw: Draw, largest: float) -> Programming | None:
        """What of this cell is programmed, with the errors that `fabricate` would draw; largest [S]: the conductance
        that its devices have at most. None: nothing is."""
        return None

    def tile(self, rows: Array, columns: Array) -> Term:
        """This cell where only `rows` of its target exist and only `columns` of what it reads are not zero (masks
        along last axes): whatever the other nodes would add is taken away."""
        return self

    def extent(self, circuit: Circuit) -> tuple[int, ...]:
        """Shape of what the cell consists of: its target's, or (driven, driving) of a matrix."""
        return circuit.arrays[self.target].shape

    def columns(self, circuit: Circuit) -> int:
        """Driving nodes of one position: the length of the last axis that the cell reads last."""
        view = self.sources[-1]
        return int(view.of(circuit.units(view.array)[None]).shape[-1])

    def spice(self, sheet: Sheet) -> list[str]:
        """SPICE elements that push the cell's current into the conveyor inputs of its target."""
        raise self.lacks("spice")

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """The same in transistors."""
        raise Error(f"{self.label} {self.name!r} has no circuit of transistors: write level='behavioural'")

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """SPICE elements that push `scale` amperes per watt of the cell's heat into the node `meter`."""
        return []

    def count(self, circuit: Circuit) -> int:
        """Number of units (devices or device groups) the cell consists of."""
        raise self.lacks("count")

    def blocks(self, circuit: Circuit) -> int:
        """Parts that the cell falls into: a node of one part reads no node that a node of another reads."""
        return circuit.arrays[self.target].count

    def together(self, circuit: Circuit) -> int:
        """Nodes of the target that share a device, and so cannot stand on different chips."""
        return 1

    @property
    def conveyed(self) -> bool:
        """Whether the current reaches the node through its conveyor, and not through plain resistors."""
        return True

    @property
    def inside(self) -> tuple[str, ...]:
        """Arrays of inner nodes that hand on its current: where there are such, they are late instead of `ends`."""
        return ()

    @property
    def by_node(self) -> bool:
        """Whether a node of an array that the cell reads and drives sees none but itself of it."""
        return False

    def drivers(self) -> tuple[View, ...]:
        """Views whose nodes must deliver current to the cell, so need a buffer (gates need none)."""
        return ()

    @property
    def label(self) -> str:
        """What a netlist's comments call it."""
        return self.kind

    def weights(self, circuit: Circuit) -> int:
        """Number of programmed values that are held on capacitors and leak."""
        return 0

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """Silicon [m²] of the cell."""
        return 0.0
