"""A machine of chips as published: how much one chip holds, what chips are joined by, where weights wait.

Read from TOML (`machines/ds-tpu.toml` shows the form: every number is {value, unit, source}). `overrides`
{"chip.nodes": 4000} come last, in SI. A chip that states no nodes and couplings is filled by area, with the
technology's cells.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from ..circuits import checks
from ..circuits.errors import Error
from ..circuits.quantities import known, names_in, number, quantity, read_toml, text


def _q(unit: str, *, optional: bool = False, zero: bool = False) -> Any:
    """A quantity in an SI unit, which may be left out where `optional`."""
    return field(metadata={"unit": unit, "optional": optional, "zero": zero})


@dataclass(frozen=True)
class Chip:
    """area [m²]; power [W] as published; nodes and couplings on one; fan_in: couplings that one node may have."""

    area: float = _q("m²")
    power: float | None = _q("W", optional=True)
    nodes: float | None = _q("1", optional=True)
    couplings: float | None = _q("1", optional=True)
    fan_in: float | None = _q("1", optional=True)


@dataclass(frozen=True)
class Link:
    """Between chips: lanes of one chip; rate [bit/s] of a lane; energy [J] of a bit."""

    lanes: float = _q("1")
    rate: float = _q("Hz")
    energy: float = _q("J", zero=True)


@dataclass(frozen=True)
class Memory:
    """Digital, where what is not on chips waits: rate [bit/s]; energy [J] of a bit read or written."""

    rate: float = _q("Hz")
    energy: float = _q("J", zero=True)


SECTIONS: dict[str, type] = {"chip": Chip, "link": Link, "memory": Memory}
FIELDS = {f"{section}.{f.name}": f.metadata for section, kind in SECTIONS.items() for f in fields(kind)}


@dataclass(frozen=True)
class Machine:
    """A machine as `load_machine` read it, in SI; `sources`: where each number is from, by key ("chip.nodes")."""

    name: str
    description: str
    chip: Chip
    link: Link
    memory: Memory
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def load_machine(name_or_path: str | Path, *, overrides: Mapping[str, float] | None = None) -> Machine:
    """A bundled machine by name ("brim", "ds-gl", "ds-tpu", "wafer"), or one from a TOML file by path.

    >>> int(load_machine("ds-tpu").chip.nodes)
    2000

    Raises Error for a file that is missing or not TOML, and for a key that is unknown, missing, without unit or source,
    of the wrong type or out of range.
    """
    document, where = read_toml(name_or_path, "machine", resources.files(__package__) / "machines")
    for key in document:
        known(key, ["name", "description", *SECTIONS], f"key of {where}")
    values: dict[str, float | None] = {}
    sources: dict[str, str] = {}
    for section in SECTIONS:
        _read_section(document, section, where, values, sources)
    numbers = checks.mapping("overrides", overrides, "give numbers by key, {'chip.nodes': 4000}")
    for key, value in numbers.items():
        known(key, FIELDS, f"key of {where}")
        values[key], sources[key] = number(repr(key), value, zero=FIELDS[key]["zero"]), "override"
    sections: dict[str, Any] = {
        section: kind(**{f.name: values[f"{section}.{f.name}"] for f in fields(kind)})
        for section, kind in SECTIONS.items()
    }
    name, description = (text(document, key, where) for key in ("name", "description"))
    machine = Machine(name, description, **sections, sources=sources)
    _check(machine.chip, where)
    return machine


def as_machine(machine: Any) -> Machine:
    """One that was loaded, or a bundled one by its name, or one by the path of its file."""
    if isinstance(machine, str | os.PathLike):
        return load_machine(machine if isinstance(machine, str) else Path(machine))
    checks.made("machine", machine, Machine, "give a name such as 'ds-tpu', or what load_machine returns")
    return machine  # type: ignore[no-any-return]


def bundled_machines() -> list[str]:
    """Names of the machines that come with the package."""
    return names_in(resources.files(__package__) / "machines")


def _read_section(
    document: Mapping[str, Any], section: str, where: str, values: dict[str, float | None], sources: dict[str, str]
) -> None:
    table = document.get(section)
    if not isinstance(table, dict):
        raise Error(f"{where} lacks the section [{section}]: add it (see the bundled ds-tpu.toml)")
    names = [f.name for f in fields(SECTIONS[section])]
    for part in table:
        known(part, names, f"key of [{section}] in {where}")
    for part in names:
        key = f"{section}.{part}"
        meta = FIELDS[key]
        if part not in table and meta["optional"]:
            values[key] = None
        else:
            values[key], sources[key] = quantity(table, part, key, where, unit=meta["unit"], zero=meta["zero"])


def _check(chip: Chip, where: str) -> None:
    """Counts are whole and stated together."""
    for name in ("nodes", "couplings", "fan_in"):
        value = getattr(chip, name)
        if value is not None and value != int(value):
            raise Error(f"{where}: 'chip.{name}' is {value:g}: it counts devices, so give a whole number")
    if (chip.nodes is None) != (chip.couplings is None):
        there, missing = ("couplings", "nodes") if chip.nodes is None else ("nodes", "couplings")
        raise Error(f"{where} has 'chip.{there}' without 'chip.{missing}': give both, or neither to fill its area")
