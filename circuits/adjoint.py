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
from typing import Any

from . import checks
from .arrays import module_of
from .backward import PREFIX, Backward, Part
from .cells import Transposed
from .circuit import Circuit
from .errors import Error, shown
from .losses import LOSSES

Array = Any
DEVICES = ("shared", "own")


@dataclass(repr=False)
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
        if len(each) == 1:
            return each[0]
        whole = module_of(each[0]).empty((len(each[0]), *shape), each[0].dtype)  # CuPy's concatenate cannot be recorded
        for part, value in zip(self.parts[name], each, strict=True):
            whole[..., part.start : part.stop] = value
        return whole


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
    drive, both taken as ideal (`gradients` adds the latter); offsets, as cells read voltages; that a starved feedback
    stays at its floor.
    Units are 1 V per loss and logical unit, rails are left out: `adjoint_volts` gives it volts.

    Raises Error for a circuit without output, for cells without adjoint, and for unknown options.
    """
    checks.made("circuit", circuit, Circuit, "give a Circuit; that of a chip is its .circuit")
    for what, value, known in (("loss", loss, LOSSES), ("devices", devices, DEVICES)):
        if not checks.among(value, known):
            raise Error(f"{what} {shown(value)} is unknown: use {', '.join(known)}")
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
