"""Product unit: a coupling unit whose control port another node drives (DESIGN §1; the paper's fig. 3a).

    I_t = Σ K v_a v_b         any contraction of two arrays: squares, q·k, Σ e v, gated MLP
    K   = κ g U_t / (U_a U_b)  [A/V²], an element's own gain when the units differ along the contraction

The device is a triode transistor of conductance |K v_a| between ±v_b and the target's conveyor (a sign is a crossed
connection): noise 4kT·Σ|K v_a| (γ = 1), dissipation |K v_a| v_b². As built of transistors it is a quad, whose pairs
conduct at v_a = 0 too: with `channels` (`channel.py`) noise is that of both.

The devices load the target's conveyor with Σ|K v_a|, which changes with the state; that is left out, as if r_x were 0
for them (in the bundled model they conduct 0.14 mS at most, the couplings of a node 1.1 mS).

Mismatch: each device's K(1 + σξ). A device belongs to one node of `a` and one of `b`, and ξ = s_a n_b with s a random
sign and n a standard normal: every ξ is standard normal and any two devices of a chip are uncorrelated, so means and
covariances of the currents are those of independent devices in every state, at the cost of one more contraction. What
is lost is of fourth order: devices that share a node are not independent beyond that (they are where the factors
share all indices: squares, gates).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .channel import Channels, Ends
from .contract import contract
from .mos.product import products
from .power import Meter
from .product_adjoint import back_through
from .product_law import product_law
from .siemens import Siemens
from .spice import elements
from .term import Array, Inline, Rows, Signals, Term, View, as_view

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

TOGETHER = 1 << 20  # devices that are looked at together
SUBCIRCUIT = """.subckt product a b x k=1
* I(x) = k v_a v_b; a drives the control port
B1 0 x I=({k})*V(a)*V(b)
.ends"""


@dataclass(frozen=True)
class Product(Term):
    """Contraction `spec` ("ihd,jhd->hij", positions included) of views `a` (control) and `b`, times `gain` κ.

    gain: scalar, or broadcastable to the target's shape (logical units of the target per unit of a·b).
    signs, errors: of a fabricated chip, ±1 for each node of `a` and σξ for each of `b`; None: devices alike. results:
        in an adjoint, where it is the third factor of a device's error, of each node of the target; None: 1.
    channels: of quads, as measured. buffer_gain: of those that b stands behind (heat is stated as without).
    """

    name: str
    target: str
    a: View
    b: View
    spec: str
    shape: tuple[int, ...]
    gain: Array = 1.0
    signs: Array | None = None
    errors: Array | None = None
    results: Array | None = None
    channels: Channels | None = None
    buffer_gain: float = 1.0
    kind: ClassVar[str] = "product"
    ends: ClassVar[tuple[str, ...]] = ("b", "a")

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.a, self.b)

    def _contract(self, a: Array, b: Array) -> Array:
        alike = isinstance(self.gain, float)
        scale = self.gain * self.buffer_gain if alike else self.buffer_gain
        total = contract(self.spec, a, b, scale)
        total = total.reshape(-1, *self.shape)
        if self.errors is not None:
            spoiled = contract(self.spec, a * self.signs, b * self.errors, scale).reshape(-1, *self.shape)
            total = total + (spoiled if self.results is None else self.results * spoiled)
        return total if alike else self.gain * total

    def drive(self, x: Signals) -> Array:
        return self._contract(self.a.of(x[self.a.array]), self.b.of(x[self.b.array]))

    @property
    def inline(self) -> Inline | None:
        """Of products element by element."""
        if not by_element(self.spec):
            return None
        gain = self.gain * self.buffer_gain
        gain = gain if self.errors is None else gain * (1 + self._turned * self.errors)
        return Inline("v0 * r0 * r1", (self.a, self.b), (gain,))

    @property
    def rows(self) -> Rows | None:
        """Of products element by element, summed over the last axes: a mean square."""
        factors, _, result = self.spec.partition("->")
        of_a, of_b = factors.split(",")
        if of_a != of_b or not of_a.startswith(result):
            return None
        if self.errors is None:
            return Rows("r0 * r1", (self.a, self.b), share=self.gain * self.buffer_gain)
        values = (1 + self._turned * self.errors,)
        return Rows("v0 * r0 * r1", (self.a, self.b), values, share=self.gain * self.buffer_gain)

    @property
    def _turned(self) -> Array:
        """signs · results, of products whose nodes of `a` have a node of the target each."""
        assert self.signs is not None
        if self.results is None:
            return self.signs
        lead = len(self.spec.split("->")[1])
        return self.signs * self.results.reshape(*self.signs.shape[:lead], *(1,) * (self.signs.ndim - lead))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        total: Array = 0.0
        if self.a.array in dx:
            total = total + self._contract(self.a.of(dx[self.a.array]), self.b.of(x[self.b.array]))
        if self.b.array in dx:
            total = total + self._contract(self.a.of(x[self.a.array]), self.b.of(dx[self.b.array]))
        return total

    def adjoint(self, back: Backward) -> None:
        back_through(back, self)

    def _unit(self, circuit: Circuit, view: View) -> Array:
        return np.asarray(view.of(circuit.units(view.array)[None])[0], float)[None]

    def noise(self, circuit: Circuit) -> Siemens:
        """Σ |K v_a| at each target node: g U_t |κ| Σ |x_a| / U_b; of quads that of all their pairs."""
        if self.channels is not None:
            return Siemens(self.channels.standing * self._fingers(circuit, self.channels))
        node = circuit.arrays[self.target]
        scale = np.asarray(node.conductance * node.unit * np.abs(self.gain))
        inverse = 1 / self._unit(circuit, self.b)
        spoiled = None if self.errors is None else inverse * self.errors
        error = (self.signs, spoiled, self.results)
        return Siemens(moving=ProductSiemens(self.a, self.spec, self.shape, scale, inverse, *error))

    def hung(self, circuit: Circuit, ends: Ends) -> Array:
        """Of quads: two transistors of a finger at either input, gates about their bias."""
        return 0.0 if self.channels is None else 2 * ends.of(ends.bias) * self._fingers(circuit, self.channels)

    def _fingers(self, circuit: Circuit, channels: Channels) -> Array:
        """Of all quads of a node: so many that the strongest one's pairs differ enough."""
        strongest = self.strongest(circuit)
        fingers = max(1, math.ceil(strongest / channels.difference * (1 - 1e-9)))
        here = [view.of(_present(circuit, view.array)[None]) for view in self.sources]
        return fingers * contract(self.spec, *here).reshape(self.shape)

    def strongest(self, circuit: Circuit) -> float:
        """max |K v_a| over the devices, v_a at full scale: g U_t |κ| x_a / U_b."""
        (of_a, of_b), out = self.spec.split("->")[0].split(","), self.spec.split("->")[1]
        sizes = self.sizes(circuit)
        letters = out + "".join(i for i in sizes if i not in out)
        longest = max(letters, key=sizes.__getitem__)
        axis, step = letters.index(longest), max(1, TOGETHER * sizes[longest] // math.prod(sizes.values()))

        def aligned(x: Array, have: str) -> Array:
            order = sorted(have, key=letters.index)
            return x.transpose([have.index(i) for i in order]).reshape([sizes[i] if i in have else 1 for i in letters])

        node = circuit.arrays[self.target]
        full = circuit.full_scale(self.a.array) * _present(circuit, self.a.array)
        scale = node.conductance * circuit.units(self.target) * np.abs(self.gain) * node.present
        factors = (
            aligned(self.a.of(full[None])[0], of_a),
            aligned(self.b.of((_present(circuit, self.b.array) / circuit.units(self.b.array))[None])[0], of_b),
            aligned(scale.reshape([sizes[i] for i in out]), out),
        )
        largest = 0.0
        for k in range(0, sizes[longest], step):
            part = [f if f.shape[axis] == 1 else f.take(range(k, min(k + step, f.shape[axis])), axis) for f in factors]
            largest = max(largest, float((part[0] * part[1] * part[2]).max()))
        return largest

    def meter(self, circuit: Circuit) -> Meter:
        node = circuit.arrays[self.target]
        scale = node.conductance * circuit.units(self.target) * np.abs(self.gain)
        if node.exists is not None:
            scale = scale * node.exists
        scale = np.broadcast_to(scale, node.shape).reshape(self._sizes_of(circuit, self.spec.split("->")[1]))
        unit = self._unit(circuit, self.b)[0]
        error = (self.signs, self.errors, None if self.results is None else self.results.reshape(scale.shape))
        return Meter(rest=product_law(self.a, self.b, self.spec, scale, unit, *error))

    def drivers(self) -> tuple[View, ...]:
        return (self.b,)

    def buffered(self, circuit: Circuit, gain: float) -> Product:
        return replace(self, buffer_gain=gain)

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.product.area

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        """A node of `a` drives one gate for each pair it is in, a node of `b` one unit: the mean over nodes there."""
        pairs = self.count(circuit)
        nodes = [float(np.sum(view.of(_present(circuit, view.array)[None]))) for view in self.sources]
        each = [round(pairs / max(1.0, count)) for count in nodes]
        return [(self.a, 0, each[0]), (self.b, each[1], 0)]

    def fan_in(self, circuit: Circuit) -> float:
        """A unit for each pair, the mean over nodes there."""
        return self.count(circuit) / max(1, circuit.arrays[self.target].count)

    def _pairs(self, sheet: Sheet) -> tuple[Array, Array, Array, Array]:
        """(keep, flat index of the target node, its gain K [A/V²], names of a and b (2, …)) over all index values."""
        inputs, out = self.spec.split("->")
        of_a, of_b = inputs.split(",")
        sizes = self.sizes(sheet.circuit)

        def spread(x: Array, have: str) -> Array:
            return self._over_all(sizes, x, have)

        shape = sheet.circuit.arrays[self.target].shape
        each = tuple(sizes[i] for i in out)
        index = spread(np.arange(int(np.prod(shape))).reshape(each), out)
        current = sheet.amperes(self.target) * np.broadcast_to(self.gain, shape)
        units = spread(sheet.units(self.a), of_a) * spread(sheet.units(self.b), of_b)
        k = spread(current.reshape(each), out) / units
        if self.signs is not None and self.errors is not None:
            error = self.each(sheet.circuit, self.signs, self.errors)
            k = k * (1 + (error if self.results is None else error * spread(self.results.reshape(each), out)))
        keep = spread(sheet.present(self.target).reshape(each), out) & (k != 0)
        keep = keep & spread(sheet.shown(self.a), of_a) & spread(sheet.shown(self.b), of_b)
        names = np.stack([spread(sheet.nodes(self.a), of_a), spread(sheet.nodes(self.b), of_b)])
        return keep, index, k, names

    def _over_all(self, sizes: dict[str, int], x: Array, have: str) -> Array:
        """x, whose axes are the indices `have`, over all of the contraction's: those of the target first."""
        out = self.spec.split("->")[1]
        letters = out + "".join(i for i in sizes if i not in out)
        order = sorted(have, key=letters.index)
        shape = tuple(sizes[i] if i in have else 1 for i in letters)
        whole = tuple(sizes[i] for i in letters)
        return np.broadcast_to(np.asarray(x).transpose([have.index(i) for i in order]).reshape(shape), whole)

    def each(self, circuit: Circuit, of_a: Array, of_b: Array) -> Array:
        """What belongs to each unit, a number of a's node times one of b's, over all index values."""
        sizes, (a, b) = self.sizes(circuit), self.spec.split("->")[0].split(",")
        return self._over_all(sizes, of_a, a) * self._over_all(sizes, of_b, b)

    def spice(self, sheet: Sheet) -> list[str]:
        keep, index, k, (a, b) = self._pairs(sheet)
        sheet.need(SUBCIRCUIT)
        ports = sheet.ports(self.target).reshape(-1)[index]
        return elements(sheet.prefix("X"), "%s %s %s product k=%.12g", keep, a, b, ports, k * self.buffer_gain)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return products(sheet, self)

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        """K|v_a| v_b² of each unit."""
        keep, _, k, (a, b) = self._pairs(sheet)
        law = f"0 {meter} I=%.12g*abs(V(%s))*V(%s)*V(%s)"
        return elements(sheet.prefix("B"), law, keep, scale * np.abs(k), a, b, b)

    def measured(self, channels: Channels | None) -> Product:
        return replace(self, channels=channels)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Product:
        if not spread.mismatch:
            return self
        of_a, of_b = (self._unit(circuit, view).shape[1:] for view in self.sources)
        signs = np.where(draw(self.name, "beta sign", of_a) < 0, -1.0, 1.0)
        return replace(self, signs=signs, errors=spread.mismatch * draw(self.name, "beta", of_b), results=None)

    def count(self, circuit: Circuit) -> int:
        """Devices: one for each pair of nodes that exist and are multiplied into one that exists."""
        here = [view.of(_present(circuit, view.array)[None]) for view in self.sources]
        pairs = contract(self.spec, *here).reshape(self.shape)
        return round(float(np.sum(pairs * _present(circuit, self.target))))

    def blocks(self, circuit: Circuit) -> int:
        """One for all values of the indices that both factors and the result have."""
        a, b, out = re.split(",|->", self.spec)
        return math.prod(self._sizes_of(circuit, "".join(set(a) & set(b) & set(out))))

    def _sizes_of(self, circuit: Circuit, letters: str) -> tuple[int, ...]:
        sizes = self.sizes(circuit)
        return tuple(sizes[i] for i in letters)

    def sizes(self, circuit: Circuit) -> dict[str, int]:
        """Length of each index of the contraction."""
        sizes: dict[str, int] = {}
        for view, indices in zip(self.sources, self.spec.split("->")[0].split(","), strict=True):
            sizes.update(zip(indices, self._unit(circuit, view).shape[1:], strict=True))
        return sizes


@dataclass(frozen=True)
class ProductSiemens:
    """ΣG of a product's devices: scale Σ |x_a| (1 + s n r) / U_b, scale = g U_t |κ|; inverse 1/U_b, spoiled n/U_b,
    results r."""

    a: View
    spec: str
    shape: tuple[int, ...]
    scale: Array
    inverse: Array
    signs: Array | None = None
    spoiled: Array | None = None
    results: Array | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.a.array,)

    @property
    def inline(self) -> Inline | None:
        """Of products element by element."""
        if not by_element(self.spec):
            return None
        inverse = self.inverse
        if self.signs is not None:
            inverse = inverse + self.signs * self.spoiled * (1.0 if self.results is None else self.results)
        return Inline("v0 * fabs(r0)", (self.a,), (self.scale * inverse[0],))

    def __call__(self, x: Signals) -> Array:
        a = abs(self.a.of(x[self.a.array]))
        total = contract(self.spec, a, self.inverse).reshape(-1, *self.shape)
        if self.signs is not None:
            spoiled = contract(self.spec, a * self.signs, self.spoiled).reshape(-1, *self.shape)
            total = total + (spoiled if self.results is None else self.results * spoiled)
        return self.scale * total


def by_element(spec: str) -> bool:
    factors, _, result = spec.partition("->")
    return factors == f"{result},{result}"


def _present(circuit: Circuit, name: str) -> Array:
    """1 where a node of the array exists, 0 where not."""
    return circuit.arrays[name].present.astype(float)


def product(
    name: str, a: str | View, b: str | View, target: str, spec: str, shape: tuple[int, ...], gain: Array = 1.0
) -> Product:
    """A `Product` from plain arguments; see the class."""
    return Product(name, target, as_view(a), as_view(b), spec, shape, gain)
