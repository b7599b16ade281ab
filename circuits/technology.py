"""A Technology: the numbers of a process and of the machine designed in it, in SI, each with its source.

Read from TOML (`technologies/cmos45.toml` shows the form: every number is {value, unit, source}). Corner, temperature
and supply are overlays, applied in this order; `overrides` come last and are taken as they are, in SI:

    corner       multiplies what [corners.NAME] lists
    temperature  conductances × (T/T₀)^−mobility_exponent;  off current × 2^((T − T₀)/leakage_doubling)
    vdd          swing and common mode × V/V₀;  device and coupling conductance × (V − V_th)/(V₀ − V_th)

A node's feedback is programmed through its gate and keeps its conductance when the supply moves.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from .errors import Error
from .technology_parts import (
    FIELDS,
    SECTIONS,
    UNITS,
    Buffer,
    Controller,
    Converter,
    Conveyor,
    CouplingUnit,
    Device,
    Metal,
    Mismatch,
    Node,
    ProductUnit,
    RectifierUnit,
    SoftmaxUnit,
    Supply,
    Switch,
    TanhUnit,
    Wire,
)
from .units import si


@dataclass(frozen=True)
class Technology:
    """Process and design numbers in SI units, as `load_technology` read them.

    name, description, corner; temperature [K]; one attribute a section (see its class). `sources` keeps where each
    number came from, by key ("node.capacitance"); `describe()` lists all of them.
    """

    name: str
    description: str
    corner: str
    temperature: float
    supply: Supply
    device: Device
    node: Node
    wire: Wire
    row_wire: Metal
    column_wire: Metal
    coupling: CouplingUnit
    product: ProductUnit
    softmax: SoftmaxUnit
    tanh: TanhUnit
    rectifier: RectifierUnit
    buffer: Buffer
    conveyor: Conveyor
    converter: Converter
    switch: Switch
    controller: Controller
    mismatch: Mismatch
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def get(self, key: str) -> float:
        """The number behind a key such as "node.capacitance", in SI."""
        _known(key, UNITS, f"key of technology {self.name!r}")
        value: Any = self
        for part in key.split("."):
            value = getattr(value, part)
        return float(value)

    def describe(self) -> list[tuple[str, float, str, str]]:
        """Rows (key, value, SI unit, source) of every number."""
        return [(key, self.get(key), unit, self.sources.get(key, "")) for key, unit in UNITS.items()]

    def changed(self, values: Mapping[str, float], source: str) -> Technology:
        """A copy with other numbers (SI) behind some keys; `source` replaces theirs."""
        tree: dict[str, dict[str, float]] = {}
        top: dict[str, Any] = {}
        for key, value in values.items():
            _known(key, UNITS, f"key of technology {self.name!r}")
            section, _, name = key.rpartition(".")
            (tree.setdefault(section, {}) if section else top)[name] = _number(key, value)
        top |= {s: replace(getattr(self, s), **changes) for s, changes in tree.items()}
        return replace(self, **top, sources={**self.sources, **dict.fromkeys(values, source)})


# --- reading ------------------------------------------------------------------------------------------


def load_technology(
    name_or_path: str | Path = "cmos45",
    *,
    corner: str = "TT",
    temperature: float | None = None,
    vdd: float | None = None,
    overrides: Mapping[str, float] | None = None,
) -> Technology:
    """A bundled technology by name, or one from a TOML file by path.

    corner "TT", "SS" or "FF"; temperature [K]; vdd [V]; overrides {"node.capacitance": 60e-15} in SI.

    >>> round(load_technology("cmos45").node.time_constant * 1e9, 3)
    1.519

    Raises Error for a file that is missing or not TOML, and for a key that is unknown, missing, without unit or
    source, of the wrong type or out of range.
    """
    document, where = _read(name_or_path)
    tech, corners = _parse(document, where)
    if corner != "TT":
        _known(corner, ["TT", *corners], f"corner of {where}")
        tech = _cornered(tech, corner, corners[corner])
    if temperature is not None:
        tech = _heated(tech, _number("temperature", temperature))
    if vdd is not None:
        tech = _supplied(tech, _number("supply.vdd", vdd))
    return tech.changed(overrides, "override") if overrides else tech


def bundled() -> list[str]:
    """Names of the technologies that come with the package."""
    folder = resources.files(__package__) / "technologies"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _read(name_or_path: str | Path) -> tuple[dict[str, Any], str]:
    """(TOML document, what to call it in messages)."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.name == name_or_path and not name_or_path.endswith(".toml"):
        names = bundled()
        if name_or_path not in names:
            hint = _hint(name_or_path, names)
            raise Error(
                f"technology {name_or_path!r} is unknown: use {' or '.join(names)}, or the path of a .toml file{hint}"
            )
        text = (resources.files(__package__) / "technologies" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        where = f"technology {name_or_path!r}"
    else:
        where = f"technology file {str(path)!r}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
            raise Error(f"{where} cannot be read ({reason}): give a readable .toml file") from None
    try:
        return tomllib.loads(text), where
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{where} is not TOML ({problem}): correct that line") from None


def _parse(document: dict[str, Any], where: str) -> tuple[Technology, dict[str, dict[str, tuple[float, str]]]]:
    """The technology at TT, and corners as {corner: {key: (factor, source)}}."""
    tops = ["name", "description", "temperature", "corners", *SECTIONS]
    for key in document:
        _known(key, tops, f"key of {where}")
    name, description = (_text(document, key, where) for key in ("name", "description"))
    found: dict[str, float] = {}
    sources: dict[str, str] = {}
    found["temperature"], sources["temperature"] = _quantity(document, "temperature", "temperature", where)
    sections: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        table = document.get(section)
        if not isinstance(table, dict):
            raise Error(f"{where} lacks the section [{section}]: add it (see the bundled cmos45.toml)")
        names = [key.split(".")[1] for key in UNITS if key.startswith(f"{section}.")]
        for part in table:
            _known(part, names, f"key of [{section}] in {where}")
        for part in names:
            key = f"{section}.{part}"
            found[key], sources[key] = _quantity(table, part, key, where)
        sections[section] = kind(**{part: found[f"{section}.{part}"] for part in names})
    sections |= {"temperature": found["temperature"], "sources": sources}
    tech = Technology(name=name, description=description, corner="TT", **sections)
    return tech, _corners(document.get("corners", {}), where)


def _corners(table: Any, where: str) -> dict[str, dict[str, tuple[float, str]]]:
    if not isinstance(table, dict) or not all(isinstance(t, dict) for t in table.values()):
        raise Error(f"{where}: 'corners' is not a table of tables: write [corners.SS]")
    corners: dict[str, dict[str, tuple[float, str]]] = {}
    for corner, factors in table.items():
        corners[corner] = {}
        for key in factors:
            _known(key, UNITS, f"key of [corners.{corner}] in {where}")
            corners[corner][key] = _quantity(factors, key, f"corners.{corner}.{key}", where, unit="1")
    return corners


def _text(document: dict[str, Any], key: str, where: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Error(f"{where}: {key!r} is {value!r}: give it as text")
    return value


def _quantity(table: Mapping[str, Any], name: str, key: str, where: str, unit: str | None = None) -> tuple[float, str]:
    """(value in SI, source) of one {value, unit, source}."""
    form = 'write {value = …, unit = "…", source = "…"}'
    if name not in table:
        raise Error(f"{where} lacks {key!r}: {form}")
    entry = table[name]
    if not isinstance(entry, dict):
        raise Error(f"{where}: {key!r} is {entry!r}, without unit and source: {form}")
    for part in entry:
        _known(part, ["value", "unit", "source"], f"part of {key!r} in {where}")
    for part in ("value", "unit", "source"):
        if part not in entry:
            raise Error(f"{where}: {key!r} has no {part}: {form}")
        if part != "value" and (not isinstance(entry[part], str) or not entry[part].strip()):
            raise Error(f"{where}: the {part} of {key!r} is {entry[part]!r}: give it as text")
    wanted = unit or UNITS[key]
    factor, found = si(entry["unit"])
    if found != wanted:
        raise Error(f"{where}: {key!r} has the unit {entry['unit']!r}: it is measured in {wanted} (with any prefix)")
    value = _number(key if key in FIELDS else "", entry["value"], f"{where}: {key!r}")
    return float(f"{value * factor:.15g}"), str(entry["source"])


def _number(key: str, value: Any, what: str | None = None) -> float:
    """A finite number, positive (or zero where the key allows it)."""
    what = what or repr(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Error(f"{what} is {value!r}: give a number")
    zero = key in FIELDS and bool(FIELDS[key]["zero"])
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise Error(f"{what} is {value!r}: give a number {'of 0 or more' if zero else 'above 0'}")
    return float(value)


def _known(key: Any, names: Iterable[str], what: str) -> None:
    names = list(names)
    if key not in names:
        raise Error(f"{str(key)!r} is no {what}: {_hint(str(key), names).lstrip('; ') or 'use ' + _listed(names)}")


def _hint(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1) or [n for n in names if n.endswith(f".{key}")][:1]
    return f"; did you mean {close[0]!r}?" if close else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


# --- overlays -----------------------------------------------------------------------------------------


def _cornered(tech: Technology, corner: str, factors: Mapping[str, tuple[float, str]]) -> Technology:
    tech = replace(tech, corner=corner)
    for key, (factor, source) in factors.items():
        tech = tech.changed(
            {key: tech.get(key) * factor}, f"{tech.sources[key]}; corner {corner} × {factor:g} ({source})"
        )
    return tech


def _scaled(tech: Technology, keys: Iterable[str], factor: float, why: str) -> Technology:
    for key in keys:
        tech = tech.changed({key: tech.get(key) * factor}, f"{tech.sources[key]}; {why} × {factor:.4g}")
    return tech


def _heated(tech: Technology, kelvin: float) -> Technology:
    """Conductances follow mobility, leakage its doubling."""
    rise, why = kelvin - tech.temperature, f"{kelvin:g} K"
    slower = (kelvin / tech.temperature) ** -tech.device.mobility_exponent
    leakier = 2 ** (rise / tech.switch.leakage_doubling)
    tech = _scaled(tech, ("node.conductance", "coupling.g_max", "device.on_conductance"), slower, why)
    tech = _scaled(tech, ("switch.off_current", "switch.low_leakage_current"), leakier, why)
    return tech.changed({"temperature": kelvin}, "temperature overlay")


def _supplied(tech: Technology, volts: float) -> Technology:
    """Rails follow the supply, full-gate conductances the overdrive."""
    if volts <= tech.device.threshold:
        raise Error(f"vdd {volts!r} V is not above the threshold {tech.device.threshold:.3g} V: raise it")
    before, why = tech.supply.vdd, f"vdd {volts:g} V"
    drive = (volts - tech.device.threshold) / (before - tech.device.threshold)
    tech = _scaled(tech, ("supply.swing", "supply.common_mode"), volts / before, why)
    tech = _scaled(tech, ("coupling.g_max", "device.on_conductance"), drive, why)
    return tech.changed({"supply.vdd": volts}, "vdd overlay")
