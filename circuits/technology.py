"""A Technology: the numbers of a process and of the machine designed in it, in SI, each with its source.

Read from TOML (`technologies/cmos45.toml` shows the form: every number is {value, unit, source}). Corner, temperature
and supply are overlays, applied in this order; `overrides` come last and are taken as they are, in SI:

    corner       multiplies what [corners.NAME] lists
    temperature  conductances × (T/T₀)^−mobility_exponent;  off current × 2^((T − T₀)/leakage_doubling), 200 … 450 K
    vdd          swing and common mode × V/V₀;  device and coupling conductance × (V − V_th)/(V₀ − V_th)

A node's feedback is programmed through its gate and keeps its conductance when the supply moves.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from . import checks
from .errors import Error
from .quantities import known, number, quantity, read_toml, text
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
    Flicker,
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
    outside,
)

log = logging.getLogger(__name__)


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
    flicker: Flicker
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def get(self, key: str) -> float:
        """The number behind a key such as "node.capacitance", in SI."""
        known(key, UNITS, f"key of technology {self.name!r}")
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
            known(key, UNITS, f"key of technology {self.name!r}")
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
    document, where = read_toml(name_or_path, "technology", resources.files(__package__) / "technologies")
    tech, corners = _parse(document, where)
    if checks.text("corner", corner) != "TT":
        known(corner, ["TT", *corners], f"corner of {where}")
        tech = _cornered(tech, corner, corners[corner])
    if temperature is not None:
        tech = _heated(tech, _number("temperature", temperature))
    if vdd is not None:
        tech = _supplied(tech, _number("supply.vdd", vdd))
    numbers = checks.mapping("overrides", overrides, "give numbers by key, {'node.capacitance': 60e-15}")
    tech = tech.changed(numbers, "override") if numbers else tech
    _check_swing(tech)
    return tech


def as_technology(technology: Any) -> Technology:
    """One that was loaded, or a bundled one by its name, or one by the path of its file."""
    if isinstance(technology, str | os.PathLike):
        return load_technology(technology if isinstance(technology, str) else Path(technology))
    checks.made("technology", technology, Technology, "give a name such as 'cmos45', or what load_technology returns")
    return technology  # type: ignore[no-any-return]


def _check_swing(tech: Technology) -> None:
    """Warn where the sides of a node, V_cm ± v/2, leave the rails 0 … VDD: |v| ≤ 2 min(V_cm, VDD − V_cm)."""
    vdd, middle, swing = tech.supply.vdd, tech.supply.common_mode, tech.supply.swing
    most = 2 * max(0.0, min(middle, vdd - middle))
    if swing > most * (1 + 1e-9):  # rounding of the difference
        log.warning(
            "supply.swing is ±%g V, and sides about %g V within rails %g V apart hold ±%.4g V at most: lower it, or "
            "move supply.common_mode", swing, middle, vdd, most,
        )  # fmt: skip


def _parse(document: dict[str, Any], where: str) -> tuple[Technology, dict[str, dict[str, tuple[float, str]]]]:
    """The technology at TT, and corners as {corner: {key: (factor, source)}}."""
    tops = ["name", "description", "temperature", "corners", *SECTIONS]
    for key in document:
        known(key, tops, f"key of {where}")
    name, description = (text(document, key, where) for key in ("name", "description"))
    found: dict[str, float] = {}
    sources: dict[str, str] = {}
    found["temperature"], sources["temperature"] = quantity(
        document, "temperature", "temperature", where, unit=UNITS["temperature"]
    )
    _kelvin(f"{where}: 'temperature'", found["temperature"])
    sections: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        table = document.get(section)
        if not isinstance(table, dict):
            raise Error(f"{where} lacks the section [{section}]: add it (see the bundled cmos45.toml)")
        names = [key.split(".")[1] for key in UNITS if key.startswith(f"{section}.")]
        for part in table:
            known(part, names, f"key of [{section}] in {where}")
        for part in names:
            key = f"{section}.{part}"
            found[key], sources[key] = quantity(table, part, key, where, unit=UNITS[key], zero=_may_be_zero(key))
            _plausible(f"{where}: {key!r}", key, found[key])
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
            known(key, UNITS, f"key of [corners.{corner}] in {where}")
            corners[corner][key] = quantity(factors, key, f"corners.{corner}.{key}", where, unit="1")
    return corners


def _number(key: str, value: Any) -> float:
    found = number(repr(key), value, zero=_may_be_zero(key))
    if key == "temperature":
        return _kelvin(key, found)
    _plausible(repr(key), key, found)
    return found


def _kelvin(what: str, value: float) -> float:
    """A temperature of transistors; degrees Celsius are below."""
    coldest, hottest = (float(FIELDS["temperature"][end]) for end in ("least", "most"))
    if not coldest <= value <= hottest:
        raise Error(f"{what} is {value!r} K: give {coldest:g} … {hottest:g} K, −73 … 177 °C")
    return value


def _plausible(what: str, key: str, value: float) -> None:
    """Says what is odd of a number, and goes on. Raises Error where it cannot be meant."""
    odd = outside(what, key, value)
    if odd:
        log.warning("%s", odd)


def _may_be_zero(key: str) -> bool:
    return bool(FIELDS[key]["zero"])


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
