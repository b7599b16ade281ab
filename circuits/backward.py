"""What cells add themselves to while an adjoint circuit is made of a forward one: nodes, held inputs, products.

An array whose columns are read apart (q, k and v of one matrix) has an adjoint array for each: a term drives all of an
array. Adjoint arrays have their forward array's shape, but for inner axes of length 1 and for columns that a mirrored
view splits; products read and write them by letters, whatever the view that the forward cell had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import Coupling, Feedback, NodeArray, Transfer, View
from .circuit import Circuit
from .errors import Error
from .transposition import transpose

if TYPE_CHECKING:
    from .adjoint import AdjointCircuit

Array = Any
PREFIX = "adjoint."
LETTERS = "abcdefgh"
SPARE = "zyx"  # index letters that the mapping's contractions do not use


@dataclass(frozen=True)
class Part:
    """Columns [start, stop) of a forward array's last axis, and the adjoint array, of `shape`, that stands for them."""

    start: int
    stop: int
    name: str
    shape: tuple[int, ...]


class Backward:
    """The adjoint circuit of `forward` while cells add to it. shared: whether couplings keep the forward devices."""

    prefix = PREFIX

    def __init__(self, forward: Circuit, circuit: AdjointCircuit, shared: bool) -> None:
        self.forward, self.circuit, self.shared = forward, circuit, shared
        reached = self._reached()
        readers: dict[str, list[View]] = {name: [] for name in forward.arrays}
        for term in forward.terms.values():
            for view in term.sources:
                readers[view.array].append(view)
        for name, node in forward.arrays.items():
            if name in reached:
                self._add_parts(node, readers[name])

    # --- adjoint nodes --------------------------------------------------------------------------------

    def _reached(self) -> set[str]:
        """Arrays that the output depends on, itself included. A softmax's tail is inside its cell."""
        assert self.forward.output is not None
        needs, found, left = self.forward.all_needs(), set(), [self.forward.output]
        while left:
            name = left.pop()
            if name not in found and not self.forward.arrays[name].is_inner:
                found.add(name)
                left += needs[name]
        return found

    def _add_parts(self, node: NodeArray, views: list[View]) -> None:
        """An adjoint array for each run of columns that cells tell apart, in the shape that a mirrored view wants."""
        width = node.shape[-1]
        edges = sorted({0, width} | {edge for v in views if v.start is not None for edge in (v.start, v.stop or width)})
        parts = []
        for start, stop in pairwise(edges):
            whole = len(edges) == 2
            split = next(
                (v.split for v in views if v.mirrored and (v.start or 0, v.stop or width) == (start, stop)), ()
            )
            name = f"{PREFIX}{node.name}" if whole else f"{PREFIX}{node.name}.{start}"
            shape = (*node.shape[:-1], *split) if split else (*node.shape[:-1], stop - start)
            parts.append(Part(start, stop, name, shape if node.feedback is not None else _squeezed(shape)))
            self.circuit.add_nodes(self._adjoint_node(node, parts[-1]))
        self.circuit.parts[node.name] = tuple(parts)

    def _adjoint_node(self, node: NodeArray, part: Part) -> NodeArray:
        """A node whose decay is that of the forward node: γ, or of a root 2 K s. A forward conveyor's gain c is that
        of its own: it holds c a, dL/d(a unit of current at the forward conveyor's input)."""

        def cut(value: Array) -> Array:
            if np.ndim(value) == 0:
                return value
            return np.broadcast_to(value, node.shape)[..., part.start : part.stop].reshape(part.shape)

        feedback, ratio = (None, 1.0) if node.clamped else (node.feedback, node.ratio)
        load = self.forward.standing_load(node.name)
        if feedback is not None:
            if np.any(load):
                raise Error(
                    f"passive couplings onto {node.name!r}, whose feedback is driven, have no adjoint: buffer them"
                )
            gain = 2 * np.asarray(feedback.gain) if node.is_root else feedback.gain
            feedback = Feedback(self.hold(View(feedback.control)).array, gain, feedback.floor)
            if part.shape != node.shape:
                raise Error(f"{node.name!r} has driven feedback and is read in parts: its adjoint is not built")
        else:
            ratio = cut(ratio + load / node.conductance)
        self.circuit.origin[part.name] = cut(self.forward.units(node.name))
        return replace(
            node, name=part.name, shape=part.shape, unit=1.0, full_scale=1.0, rail=None, held=False, offset=0.0,
            capacitance=cut(node.capacitance), ratio=ratio, feedback=feedback,
            exists=None if node.exists is None else cut(node.exists), clamped=False, stored=False,
            current_gain=cut(node.current_gain), conveyors=None, own=0.0,
        )  # fmt: skip

    def beside(self, name: str, like: str, shape: tuple[int, ...] | None = None) -> str:
        """A new free array of plain nodes, of the kind of forward array `like`; returns its name."""
        node = self.forward.arrays[like]
        shape = node.shape if shape is None else shape
        exists = node.exists if shape == node.shape else None
        capacitance = float(np.min(node.capacitance))
        self.circuit.nodes(
            name, shape, rail=None, full_scale=1.0, capacitance=capacitance, conductance=node.conductance,
            exists=exists, input_resistance=node.input_resistance, noise_siemens=node.noise_siemens,
            noise_ohms=node.noise_ohms, loop=node.loop, layer=node.layer,
        )  # fmt: skip
        return name

    def parts(self, name: str) -> tuple[Part, ...]:
        """Adjoint arrays of a forward array; none where the output does not depend on it."""
        return self.circuit.parts.get(name, ())

    def seen(self, view: View) -> tuple[Part, ...]:
        """Those of the columns that a view shows."""
        start, stop = view.start or 0, self.forward.arrays[view.array].shape[-1] if view.stop is None else view.stop
        return tuple(part for part in self.parts(view.array) if part.start >= start and part.stop <= stop)

    def one(self, view: View) -> Part | None:
        """The one adjoint array of what a view shows, None where the output does not depend on it."""
        parts = self.seen(view)
        if len(parts) > 1:
            raise Error(
                f"{view.array!r} is read in parts and, not by dense couplings, as a whole: read it in parts only"
            )
        return parts[0] if parts else None

    def hold(self, view: View) -> View:
        """The same view here, of forward nodes that become inputs."""
        if view.array not in self.circuit.arrays:
            node = self.forward.arrays[view.array]
            self.circuit.add_nodes(replace(node, feedback=None, clamped=True, stored=True))
        return view

    def driven(self, name: str) -> View:
        """What cells drive a forward array to, 1/c of what it holds where its conveyors have gains c: held nodes, or an
        array of that."""
        held, gain = self.hold(View(name)), np.asarray(self.forward.arrays[name].current_gain)
        if (gain == 1).all():
            return held
        driven = f"{PREFIX}{name}.driven"
        if driven not in self.circuit.arrays:
            self.beside(driven, name)
            self.circuit.couple(driven, name, driven, 1 / gain, elementwise=True, programmable=False)
        return View(driven)

    def transpose(self, term: Coupling) -> None:
        """Adds what couplings are here; see `transposition.py`."""
        transpose(self, term)

    # --- products -------------------------------------------------------------------------------------

    def multiply(
        self, name: str, control: View, spec: str, adjoint: Part, into: View, sizes: dict[str, int],
        gain: Array = 1.0, errors: tuple[Array, Array] | None = None,
    ) -> None:  # fmt: skip
        """into' += gain Σ control ∘ adjoint: products whose control port a held or free array of this circuit drives.

        spec: "control,adjoint->into", each with the letters of its view (of the adjoint: of its forward array's
        nodes); sizes: length of each letter; gain: a number, or in the shape of the letters of `into`, in their order;
        errors: of each device, the product of a factor of the control's node and one of the node of `into`.
        """
        part = self.one(into)
        if part is None:
            return
        factors, wanted = spec.split("->")
        of_control, given = factors.split(",")
        view, letters = reading(adjoint, given, sizes)
        order = _unturned(wanted, into)
        extra = "".join(i for i in letters if i not in given)

        def placed(value: Array) -> Array:
            full = np.broadcast_to(value, tuple(sizes[i] for i in wanted))
            return full.transpose([wanted.index(i) for i in order]).reshape(part.shape)

        whole = f"{of_control},{letters}->{order}{extra}"
        self.circuit.multiply(
            name, control, view, part.name, whole, placed(gain) if np.ndim(gain) else float(gain)
        )  # fmt: skip
        if errors is not None:
            own: Any = self.circuit.terms[name]
            erring = replace(
                own, signs=errors[0], errors=np.ones([sizes.get(i, 1) for i in letters]), results=placed(errors[1])
            )
            self.circuit.terms[name] = erring

    def times(self, cell: Transfer, control: View, gain: float = 1.0, *, of: str = "") -> None:
        """Adjoint of what a transfer cell reads += gain · control ∘ (adjoint of what it drives, or the array `of`, one
        node a row), node by node."""
        letters, shape = self.letters(cell.target), self.forward.arrays[cell.target].shape
        driven = self.one(View(cell.target))
        assert driven is not None
        sizes, name, given = dict(zip(letters, shape, strict=True)), f"{PREFIX}{cell.name}", letters
        if of:
            driven, name, given = Part(0, 1, of, (*shape[:-1], 1)), f"{name}.less", letters[:-1]
        self.multiply(name, control, f"{letters},{given}->{letters}", driven, cell.source, sizes, gain)

    def read(self, name: str) -> tuple[View, str]:
        """The adjoint of a forward array by the letters of its axes, and these letters."""
        part = self.one(View(name))
        assert part is not None
        letters = self.letters(name)
        return reading(part, letters, dict(zip(letters, self.forward.arrays[name].shape, strict=True)))

    def letters(self, name: str) -> str:
        """One for each axis of a forward array."""
        return LETTERS[: len(self.forward.arrays[name].shape)]


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without inner axes of length 1, so that it is plain which of the last axes a matrix spans."""
    return (*shape[:1], *(n for n in shape[1:-1] if n > 1), *shape[-1:][: len(shape) - 1])


def _unturned(letters: str, view: View) -> str:
    """Letters of a view in the order of the array's own axes."""
    if view.mirrored:
        raise Error(f"products that read {view.array!r} mirrored have no adjoint: mirror it by a coupling before")
    if not view.axes:
        return letters
    return "".join(letters[view.axes.index(axis)] for axis in range(len(letters)))


def reading(part: Part, letters: str, sizes: dict[str, int]) -> tuple[View, str]:
    """A view of an adjoint array by letters of the given sizes, and those letters with one for each axis of length 1
    that they lack."""
    wanted, shape = tuple(sizes[i] for i in letters), part.shape
    inner = len(shape) - 1
    if wanted == shape:
        return View(part.name), letters
    if wanted == shape[: len(wanted)] and set(shape[len(wanted) :]) <= {1}:
        spare = [i for i in SPARE if i not in sizes][: len(shape) - len(wanted)]
        return View(part.name), letters + "".join(spare)
    if wanted[:inner] == shape[:-1]:
        return View(part.name, split=wanted[inner:]), letters
    if wanted[len(wanted) - inner :] == shape[1:]:
        return View(part.name, groups=wanted[: len(wanted) - inner]), letters
    raise Error(f"the nodes {part.name!r} of shape {shape} cannot be read as {wanted}: have its cells split it alike")
