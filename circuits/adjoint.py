"""The equilibrium adjoint of a circuit, as a circuit (DESIGN §8; the paper's fig. 5).

A circuit at rest holds 0 = R_i(x), R = τ dx/dt. With a loss L(x) the adjoint nodes a_i relax to the loss's gradients,

    τ_i da_i/dt = Σ_j a_j ∂R_j/∂x_i + ∂L/∂x_i        at rest: a_i = dL/d(a unit of normalised current into node i)

and a weight w_ij, whose current is w_ij x_j, has dL/dw_ij = a_i x_j (Almeida 1987; Pineda 1987). ∂R_i/∂x_i is −γ, the
node's own decay, so an adjoint node has the feedback of its node; a root, whose γ is K s, has 2 K s. The others are
cells again, and each cell says which (`Term.adjoint`): couplings are read transposed, a product becomes two products,
a transfer a product with its slope. Forward voltages are inputs of this circuit: the machine holds them.

a is in loss per logical unit; its volts are those of a calibration of its own (`adjoint_volts.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import module_of
from .cells import Coupling, Feedback, NodeArray, Transfer, Transposed, View
from .circuit import Circuit
from .errors import Error
from .losses import LOSSES
from .transposition import transpose

Array = Any
PREFIX = "adjoint."
DEVICES = ("shared", "own")
LETTERS = "abcdefgh"
SPARE = "zyx"  # index letters that the mapping's contractions do not use


@dataclass(frozen=True)
class Part:
    """Columns [start, stop) of a forward array's last axis, and the adjoint array, of `shape`, that stands for them."""

    start: int
    stop: int
    name: str
    shape: tuple[int, ...]


@dataclass
class AdjointCircuit(Circuit):
    """What `adjoint` makes.

    parts: forward array -> its adjoint arrays, in the order of their columns; origin: volts per unit of the forward
    nodes that an array stands for, in its own shape; tails: array of Σ p a -> the tail of the forward softmax, whose
    adjoint it is, or ""; loss, devices: as `adjoint` has them.
    """

    parts: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    origin: dict[str, Array] = field(default_factory=dict)
    tails: dict[str, str] = field(default_factory=dict)
    loss: str = ""
    devices: str = "shared"

    def holds(self) -> list[str]:
        """Forward arrays whose voltages are inputs here."""
        return [node.name for node in self.inputs() if node.name not in LOSSES[self.loss].inputs]

    def following(self, circuit: Circuit) -> AdjointCircuit:
        """This machine once the weights of the forward one have moved, to `circuit`'s: the same nodes and volts.

        Raises Error for a circuit of other arrays.
        """
        made = adjoint(circuit, loss=self.loss, devices=self.devices)
        if made.arrays.keys() != self.arrays.keys():
            raise Error(f"{circuit.name!r} has other arrays than what {self.name!r} is the adjoint of: make a new one")
        mirrored = [
            replace(term, mirror=before.mirror)
            for name, term in made.terms.items()
            if isinstance(term, Transposed) and isinstance(before := self.terms[name], Transposed)
        ]
        return replace(made.with_terms(mirrored), arrays=self.arrays, notes=self.notes)

    def joined(self, circuit: Circuit) -> Circuit:
        """One machine of both: the forward circuit, and this one on its live voltages instead of held ones.

        Both anneal at once; at rest nothing differs. Inputs are the forward ones and the loss's. Forward nodes drive
        more gates than alone: `load_nodes` of a technology adds them.
        Raises Error for a circuit that lacks what this one reads.
        """
        for name in self.holds():
            if name not in circuit.arrays:
                raise Error(f"{circuit.name!r} has no {name!r}, which {self.name!r} reads: pass the circuit it is of")
        arrays = {name: node for name, node in self.arrays.items() if name not in circuit.arrays}
        both = replace(circuit, name=f"{circuit.name} and back", arrays=circuit.arrays | arrays)
        return both.with_terms(self.terms.values())

    def of(self, name: str, signals: Any, shape: tuple[int, ...]) -> Array:
        """The adjoint of forward array `name` of `shape`, (K, *shape), out of signals (K, …) of this circuit."""
        each = [signals[part.name].reshape(-1, *shape[:-1], part.stop - part.start) for part in self.parts[name]]
        return each[0] if len(each) == 1 else module_of(each[0]).concatenate(each, axis=-1)


def adjoint(circuit: Circuit, *, loss: str = "cross-entropy", devices: str = "shared") -> AdjointCircuit:
    """The circuit whose nodes relax to the gradients of a loss at the circuit's output (module docstring).

    Its inputs are the forward arrays that its cells read, and the loss's (`losses.py`), (*shape) or (batch, *shape):
        "cross-entropy": L = −Σ_p Σ_v target_pv ln softmax(x_p)_v, with "loss.target" in the output's shape and
            "loss.weight" (…, 1), the sum of each row of it;
        "quadratic": L = ½ Σ_p weight_p Σ_v (x_pv − t_pv)², with "loss.target" weight·t and "loss.weight";
        "given": "loss.gradient", ∂L/∂x itself.
    devices: "shared", couplings are the forward ones, read transposed, with whatever mismatch they have; "own", they
        are devices of their own, which `fabricate` draws like everything else here.

    What is not in J: that conveyors deliver less the more hangs on them (r_x) and that a held node's rail bends its
    drive, both taken as ideal; offsets, as cells read voltages; that a starved feedback stays at its floor.
    Units are 1 V per loss and logical unit, rails are left out: `adjoint_volts` gives it volts.

    Raises Error for a circuit without output, for cells without adjoint, and for unknown options.
    """
    for what, value, known in (("loss", loss, LOSSES), ("devices", devices, DEVICES)):
        if value not in known:
            raise Error(f"{what} {value!r} is unknown: use {', '.join(known)}")
    if circuit.output is None:
        raise Error(f"{circuit.name!r} has no output for a loss to read: name one, circuit.output = 'logits'")
    made = AdjointCircuit(PREFIX + circuit.name, circuit.temperature, loss=loss, devices=devices)
    back = Backward(circuit, made, devices == "shared")
    for term in circuit.terms.values():
        if term.target in made.parts:
            term.adjoint(back)
    for name in made.parts:
        node = circuit.arrays[name]
        if node.feedback is not None and not node.clamped and not node.is_root:
            node.feedback.adjoint(back, node)
    LOSSES[loss].build(back, circuit.output)
    return made


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
            if name not in found and not self.forward.arrays[name].is_tail:
                found.add(name)
                left += needs[name]
        return found

    def _add_parts(self, node: NodeArray, views: list[View]) -> None:
        """An adjoint array for each run of columns that cells tell apart, in the shape that a mirrored view wants."""
        width = node.shape[-1]
        edges = sorted({0, width} | {edge for v in views if v.start is not None for edge in (v.start, v.stop or width)})
        split = next((view.split for view in views if view.mirrored), ())
        parts = []
        for start, stop in pairwise(edges):
            whole = len(edges) == 2
            name = f"{PREFIX}{node.name}" if whole else f"{PREFIX}{node.name}.{start}"
            shape = (*node.shape[:-1], *split) if split else (*node.shape[:-1], stop - start)
            parts.append(Part(start, stop, name, shape if node.feedback is not None else _squeezed(shape)))
            self.circuit.add_nodes(self._adjoint_node(node, parts[-1]))
        self.circuit.parts[node.name] = tuple(parts)

    def _adjoint_node(self, node: NodeArray, part: Part) -> NodeArray:
        """A node whose decay is that of the forward node: γ, or of a root 2 K s."""

        def cut(value: Array) -> Array:
            if np.ndim(value) == 0:
                return value
            return np.broadcast_to(value, node.shape)[..., part.start : part.stop].reshape(part.shape)

        feedback, ratio = (None, 1.0) if node.clamped else (node.feedback, node.ratio)
        loads = [t.loading(self.forward)[1] for t in self.forward.into(node.name) if not t.conveyed]
        if feedback is not None:
            if loads:
                raise Error(
                    f"passive couplings onto {node.name!r}, whose feedback is driven, have no adjoint: buffer them"
                )
            gain = 2 * np.asarray(feedback.gain) if node.is_root else feedback.gain
            feedback = Feedback(self.hold(View(feedback.control)).array, gain, feedback.floor)
            if part.shape != node.shape:
                raise Error(f"{node.name!r} has driven feedback and is read in parts: its adjoint is not built")
        else:
            ratio = cut(ratio + sum(loads) / node.conductance)
        self.circuit.origin[part.name] = cut(self.forward.units(node.name))
        return replace(
            node, name=part.name, shape=part.shape, unit=1.0, full_scale=1.0, rail=None, held=False, offset=0.0,
            capacitance=cut(node.capacitance), ratio=ratio, feedback=feedback,
            exists=None if node.exists is None else cut(node.exists), clamped=False, stored=False,
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
            noise_ohms=node.noise_ohms, layer=node.layer,
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
            raise Error(f"{view.array!r} is read in parts and as a whole, which only dense couplings may: {view}")
        return parts[0] if parts else None

    def hold(self, view: View) -> View:
        """The same view here, of forward nodes that become inputs."""
        if view.array not in self.circuit.arrays:
            node = self.forward.arrays[view.array]
            self.circuit.add_nodes(replace(node, feedback=None, clamped=True, stored=True))
        return view

    def transpose(self, term: Coupling) -> None:
        """Adds what couplings are here; see `transposition.py`."""
        transpose(self, term)

    # --- products -------------------------------------------------------------------------------------

    def multiply(
        self, name: str, control: View, spec: str, adjoint: Part, into: View, sizes: dict[str, int], gain: Array = 1.0
    ) -> None:
        """into' += gain Σ control ∘ adjoint: products whose control port a held or free array of this circuit drives.

        spec: "control,adjoint->into", each with the letters of its view (of the adjoint: of its forward array's
        nodes); sizes: length of each letter; gain: a number, or in the shape of the letters of `into`, in their order.
        """
        part = self.one(into)
        if part is None:
            return
        factors, wanted = spec.split("->")
        of_control, given = factors.split(",")
        view, letters = reading(adjoint, given, sizes)
        order = _unturned(wanted, into)
        extra = "".join(i for i in letters if i not in given)
        if np.ndim(gain):
            full = np.broadcast_to(gain, tuple(sizes[i] for i in wanted))
            gain = full.transpose([wanted.index(i) for i in order]).reshape(part.shape)
        self.circuit.multiply(
            name,
            control,
            view,
            part.name,
            f"{of_control},{letters}->{order}{extra}",
            gain if np.ndim(gain) else float(gain),
        )

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
