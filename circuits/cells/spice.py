"""What a cell writes its SPICE text on: the names of nodes, the subcircuits it needs, and lines by the thousand.

Every node array has one SPICE node for each node (its voltage) and one for its conveyor's input, `<node>:x`. Cells
push current into the latter; the node unit turns it into the voltage. Names that cells make up end in `:` and a word;
names of arrays never hold a colon, so the two cannot meet.

Text is in the common dialect of behavioural SPICE: G (linear, voltage-controlled current), B (a current given by an
expression), R, C, I, X. Numbers are in SI units without suffixes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from ..circuit import Circuit
    from .node import NodeArray
    from .term import Term, View

Array = Any
PORT = ":x"


@dataclass
class Sheet:
    """A circuit on its way to SPICE. names: array -> SPICE node of each of its nodes (object array in its shape).

    about: the level. start: of a transient, "uic" from initial voltages alone or "op". currents: sources to read.
    """

    circuit: Circuit
    names: Mapping[str, Array]
    subcircuits: dict[str, str] = field(default_factory=dict)
    about: ClassVar[str] = "behavioural"
    start: ClassVar[str] = "uic"
    currents: ClassVar[tuple[str, ...]] = ()
    _number: int = 0
    _variants: dict[tuple[str, str], str] = field(default_factory=dict)

    def nodes(self, view: View) -> Array:
        """SPICE nodes that a view shows; ground for those that do not exist, whose voltage is 0."""
        return view.of(np.where(self.present(view.array), self.names[view.array], "0")[None])[0]

    def ports(self, array: str) -> Array:
        """Conveyor inputs of an array: where currents into its nodes go."""
        return self.names[array] + PORT

    def present(self, array: str) -> Array:
        """Mask of the nodes that exist."""
        return self.circuit.arrays[array].present

    def shown(self, view: View) -> Array:
        """Mask of a view's nodes that exist."""
        return view.of(self.present(view.array)[None])[0]

    def units(self, view: View) -> Array:
        """Volts per logical unit of a view's nodes."""
        return np.asarray(view.of(self.circuit.units(view.array)[None])[0], float)

    def amperes(self, array: str) -> Array:
        """g U of each node: amperes that one logical unit of drive is."""
        return self.circuit.arrays[array].conductance * self.circuit.units(array)

    def need(self, text: str) -> None:
        """Have a subcircuit defined in the netlist, once."""
        self.subcircuits.setdefault(text.split()[1], text)

    def variants(self, kind: str, ports: str, keep: Array, body: Callable[..., list[str]], *values: Array) -> Array:
        """Subcircuits kind1, kind2, …, one for each set of values that occurs; returns the name for each of `keep`.

        body(*values) -> elements. Numbers inside an expression are several times faster than parameters.
        """
        keep = np.asarray(keep, bool)
        rows = np.stack([np.broadcast_to(np.asarray(value, float), keep.shape)[keep] for value in values], axis=-1)
        sets, which = np.unique(rows, axis=0, return_inverse=True)
        names = np.empty(keep.shape, object)
        known = np.array([self._variant(kind, ports, body(*each.tolist())) for each in sets], object)
        names[keep] = known[which.reshape(-1)]
        return names

    def _variant(self, kind: str, ports: str, body: list[str]) -> str:
        text = "\n".join(body)
        if (kind, text) not in self._variants:
            number = sum(known == kind for known, _ in self._variants) + 1
            name = self._variants[kind, text] = f"{kind}{number}"
            self.need(f".subckt {name} {ports}\n{text}\n.ends")
        return self._variants[kind, text]

    def node(self, node: NodeArray, standing: Array) -> list[str]:
        """Lines of an array's node units; standing [S]: what passive couplings load them with."""
        return node.spice(self, standing)

    def term(self, term: Term) -> list[str]:
        """Lines of a term."""
        return term.spice(self)

    @property
    def options(self) -> dict[str, float]:
        """Options that the cells need of a simulator."""
        return {}

    def supplies(self) -> list[str]:
        """Lines of rails and bias lines."""
        return []

    def drivers(self) -> list[str]:
        """Lines of what stands between nodes and cells, written last: cells say what they need."""
        return []

    def shows(self, node: NodeArray) -> bool:
        """Whether the array's voltages can be read."""
        return True

    def initial(self, nodes: Array, volts: Array) -> tuple[Array, Array]:
        """Where voltages at t = 0 are to be set for these voltages of nodes, and to what."""
        return nodes, volts

    def prefix(self, letter: str) -> str:
        """A fresh beginning for the names of some elements: letter, number, dot."""
        self._number += 1
        return f"{letter}{self._number}."


def elements(prefix: str, pattern: str, keep: Array, *columns: Array) -> list[str]:
    """One line for each element of `keep` that is true: prefix, running number, and `pattern` % columns there.

    Columns broadcast to the shape of `keep`.
    """
    keep = np.asarray(keep, bool)
    chosen = [np.broadcast_to(np.asarray(column), keep.shape)[keep].tolist() for column in columns]
    line = f"{prefix}%d {pattern}"
    return [line % row for row in zip(range(int(keep.sum())), *chosen, strict=True)]


def knee(u: str) -> str:
    """Text of u³ (1 − u/2), the knee of `smooth.ramp` over its width, for an expression u in 0 … 1."""
    return f"({u})*({u})*({u})*(1-0.5*({u}))"


def load_lines(sheet: Sheet, term: Term) -> list[str]:
    """SPICE resistors for what couplings load the node with and, where it has an r_x, its conveyor's input."""
    node, lines, present = sheet.circuit.arrays[term.target], [], sheet.present(term.target)
    conveyed, standing = (np.broadcast_to(load, node.shape) for load in term.loading(sheet.circuit))
    loads = [(standing, sheet.names[term.target])]
    loads += [(conveyed, sheet.ports(term.target))] if node.input_resistance else []
    for load, where in loads:
        keep = present & (load > 0)
        lines += elements(sheet.prefix("R"), "%s 0 %.12g", keep, where, 1 / np.where(keep, load, 1.0))
    return lines
