"""What the meter reads in the elements of each group: an array once, with all laws whose y it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..circuits.cells import Driven, Law, View, feedback_of
from ..emulator.plan import Group, Plan


@dataclass(frozen=True)
class Reading:
    """Nodes to be read. array: they are all of an array, which is to be integrated; driven: parts whose y they are."""

    nodes: View
    array: str | None
    driven: tuple[str, ...]


@dataclass(frozen=True)
class Readings:
    """Of a group. others: parts with another law."""

    each: tuple[Reading, ...]
    others: tuple[str, ...]


def readings(plan: Plan, laws: Mapping[str, Law]) -> dict[str, Readings]:
    """By the first array of each group. Inputs are integrated where they are read first."""
    found: dict[str, Readings] = {}
    seen: set[str] = set()
    for group in plan.groups:
        inputs = [name for name in _inputs(plan, group) if name not in seen]
        seen.update(inputs)
        arrays = [*inputs, *(stage.name for stage in group.stages)]
        found[group.stages[0].name] = _of_group(group, arrays, laws)
    return found


def _of_group(group: Group, arrays: list[str], laws: Mapping[str, Law]) -> Readings:
    driven: dict[View, list[str]] = {View(name): [] for name in arrays}
    others = []
    for stage in group.stages:
        for part in (*(term.name for term in stage.terms), feedback_of(stage.name)):
            law = laws.get(part)
            if isinstance(law, Driven):
                driven.setdefault(law.nodes, []).append(part)
            elif law is not None:
                others.append(part)
    whole = {View(name): name for name in arrays}
    return Readings(tuple(Reading(v, whole.get(v), tuple(names)) for v, names in driven.items()), tuple(others))


def _inputs(plan: Plan, group: Group) -> list[str]:
    """Clamped arrays that a group reads."""
    needs = plan.circuit.all_needs()
    read = dict.fromkeys(name for stage in group.stages for name in sorted(needs[stage.name]))
    return [name for name in read if plan.circuit.arrays[name].clamped]
