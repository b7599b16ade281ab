"""Technology files: the bundled one, overlays, and every way to get one wrong."""

import logging
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from dsmachine.circuits.errors import Error
from dsmachine.circuits.technology import load_technology
from dsmachine.circuits.technology_parts import FIELDS
from dsmachine.circuits.units import si
from dsmachine.circuits.wires import row

TOML = Path(__file__).resolve().parents[1] / "circuits" / "technologies" / "cmos45.toml"


@pytest.mark.parametrize(
    ("unit", "factor", "base"),
    [
        ("fF", 1e-15, "F"),
        ("fF/µm", 1e-9, "F/m"),
        ("mV·µm", 1e-9, "V·m"),
        ("%·µm", 1e-8, "m"),
        ("µm²", 1e-12, "m²"),
        ("um^2", 1e-12, "m²"),
        ("kΩ", 1e3, "Ω"),
        ("1/K", 1.0, "1/K"),
        ("m", 1.0, "m"),
        ("nat", 1.0, "1"),
    ],
)
def test_units(unit: str, factor: float, base: str) -> None:
    found = si(unit)
    assert found[1] == base and found[0] == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("unit", ["", "furlong", "fQ", "3"])
def test_unknown_units(unit: str) -> None:
    with pytest.raises(Error):
        si(unit)


def test_bundled_technology_is_complete_and_sourced() -> None:
    tech = load_technology()
    assert tech.node.capacitance == 49e-15
    assert tech.node.time_constant == pytest.approx(1.519e-9, rel=1e-3)
    assert row(tech, 576).capacitance == pytest.approx(0.1e-12, rel=0.03)
    assert tech.supply.full_scale == pytest.approx(1 / 3)
    assert tech.switch.refresh_interval == pytest.approx(1.42e-6, rel=1e-2)
    rows = tech.describe()
    assert len({row[0] for row in rows}) == len(rows) > 40
    assert all(unit and source and value >= 0 for _, value, unit, source in rows)


def test_it_is_frozen_and_comparable() -> None:
    tech = load_technology()
    with pytest.raises(FrozenInstanceError):
        tech.node.capacitance = 1.0  # type: ignore[misc]
    assert tech == load_technology(str(TOML)) == load_technology(TOML)


def test_corner_temperature_supply_and_overrides() -> None:
    tech = load_technology()
    slow = load_technology(corner="SS")
    assert slow.corner == "SS" and slow.node.conductance == pytest.approx(0.85 * tech.node.conductance)
    assert "corner SS" in slow.sources["node.conductance"]
    hot = load_technology(temperature=tech.temperature + 20)
    assert hot.switch.off_current == pytest.approx(4 * tech.switch.off_current)
    assert hot.coupling.g_max < tech.coupling.g_max
    low = load_technology(vdd=0.8)
    assert low.supply.swing == pytest.approx(0.4) and low.node.conductance == tech.node.conductance
    assert low.coupling.g_max == pytest.approx(tech.coupling.g_max * 0.425 / 0.625)
    own = load_technology(corner="FF", overrides={"node.conductance": 1e-5, "temperature": 310})
    assert own.node.conductance == 1e-5 and own.temperature == 310 and own.sources["temperature"] == "override"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_or_path": "cmos54"}, "'cmos54' is unknown.*did you mean 'cmos45'"),
        ({"name_or_path": "none/such.toml"}, "'none/such.toml'.*cannot be read.*No such file"),
        ({"name_or_path": ""}, "cannot be read|unknown"),
        ({"corner": "SF"}, "'SF' is no corner.*(SS|FF)"),
        ({"temperature": -3}, "'temperature' is -3.*above 0"),
        ({"temperature": float("nan")}, "'temperature' is nan"),
        ({"temperature": 27}, "temperature is 27.0 K: give 200 … 450 K, −73 … 177 °C"),
        ({"overrides": {"temperature": 27}}, "temperature is 27.0 K: give 200 … 450 K"),
        ({"temperature": 1e300}, "temperature is 1e.300 K"),
        ({"vdd": 0.3}, "vdd 0.3 V is not above the threshold"),
        ({"overrides": {"node.capacitence": 1e-15}}, "did you mean 'node.capacitance'"),
        ({"overrides": {"capacitance": 1e-15}}, "did you mean '(node|switch.hold_).*capacitance'"),
        ({"overrides": {"node.capacitance": True}}, "'node.capacitance' is True: give a number"),
        ({"overrides": {"node.capacitance": 0}}, "above 0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(Error, match=message) as caught:
        load_technology(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[node]\ncapacitance", "[node]\ncapacitence", "'capacitence' is no key.*did you mean 'capacitance'"),
        ("headroom = ", "#", "lacks 'supply.headroom': write {value"),
        ('value = 49, unit = "fF"', 'value = 49, unit = "fS"', "'node.capacitance' has the unit 'fS'.*in F"),
        ('value = 49, unit = "fF"', "value = 49", "'node.capacitance' has no unit"),
        ('value = 49, unit = "fF"', 'value = "49", unit = "fF"', "'node.capacitance' is '49': give a number"),
        ('value = 49, unit = "fF"', 'value = -49, unit = "fF"', "'node.capacitance' is -49.*above 0"),
        ('value = 49, unit = "fF"', 'value = nan, unit = "fF"', "'node.capacitance' is nan"),
        ('value = 49, unit = "fF"', 'value = 49, units = "fF"', "'units' is no part.*did you mean 'unit'"),
        ('source = "FreePDK45 nominal supply"', 'source = ""', "the source of 'supply.vdd' is ''"),
        ('source = "FreePDK45 nominal supply"', "", "'supply.vdd' has no source|not TOML"),
        (
            "temperature = { value = 300.15",
            "temperature = { value = 27",
            "mine.toml': 'temperature' is 27.0 K: give 200",
        ),
        ("[tanh]", "[tan]", "'tan' is no key.*did you mean 'tanh'"),
        ("[supply]", "[supply", "is not TOML"),
        ("[corners.SS]", "[corners]\nSS = 3\n[corners.X]", "write \\[corners.SS\\]"),
        ('name = "cmos45"', "name = 45", "'name' is 45: give it as text"),
        ('"switch.off_current" = ', '"switch.of_current" = ', "did you mean 'switch.off_current'"),
    ],
)
def test_wrong_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TOML.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "mine.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Error, match=message) as caught:
        load_technology(file)
    assert "\n" not in str(caught.value) and re.search("mine.toml|unit", str(caught.value))


def test_a_plain_number_is_refused(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^vdd = .*$", "vdd = 1.0", TOML.read_text(encoding="utf-8"))
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Error, match=r"'supply.vdd' is 1.0, without unit and source: write \{value"):
        load_technology(file)


def test_binary_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "x.toml", tmp_path):
        with pytest.raises(Error, match="cannot be read"):
            load_technology(path)


def test_every_number_has_a_range_that_the_bundled_ones_lie_in(caplog: pytest.LogCaptureFixture) -> None:
    for corner in ("TT", "SS", "FF"):
        load_technology(corner=corner)
    assert not caplog.records
    assert all(0 < meta["least"] < meta["most"] for meta in FIELDS.values())


@pytest.mark.parametrize(
    ("key", "odd", "impossible", "unit", "where"),
    [
        ("node.capacitance", 49e-9, 49.0, " F", "1e-16 … 1e-09 F"),
        ("coupling.width", 120e-12, 120.0, " m", "1e-08 … 0.001 m"),
        ("conveyor.input_resistance", 18e6, 18e12, " Ω", "0.001 … 1e+07 Ω"),
        ("mismatch.threshold_area", 3.5e-6, 3.5, " V·m", "1e-11 … 1e-07 V·m"),
        ("softmax.slope_factor", 0.9, 1e9, "", "1 … 3"),
    ],
)
def test_numbers_that_are_orders_of_magnitude_off(
    key: str, odd: float, impossible: float, unit: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip of a prefix is said; what is beyond one is refused."""
    tech = load_technology(overrides={key: odd})
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    said = "where such numbers lie: check its unit and prefix"
    assert record.getMessage() == f"{key!r} is {odd:g}{unit}, outside of {where} {said}"
    assert tech.get(key) == odd
    with pytest.raises(Error) as caught:
        load_technology(overrides={key: impossible})
    assert str(caught.value) == f"{key!r} is {impossible:g}{unit}, far outside of {where}: check its unit and prefix"


@pytest.mark.parametrize("key", [key for key, meta in FIELDS.items() if meta["zero"]])
def test_what_may_be_nothing_may_be_little(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Such as a noise resistance, what is left of one measurement after another; it is said."""
    little = 1e-5 * FIELDS[key]["least"]
    assert load_technology(overrides={key: little}).get(key) == little
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_number_that_is_too_small() -> None:
    with pytest.raises(Error, match=r"'node\.capacitance' is 4.9e-26 F, far outside of 1e-16 … 1e-09 F"):
        load_technology(overrides={"node.capacitance": 49e-27})


def test_a_swing_beyond_the_rails_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of two sides, V_cm ± v/2, each within the rails: ±VDD at most, about the middle."""
    load_technology(vdd=0.9)
    load_technology(overrides={"supply.swing": 1.0, "supply.common_mode": 0.5})
    load_technology(overrides={"supply.swing": 0.2, "supply.common_mode": 0.9})
    assert not caplog.records
    for overrides in ({}, {"supply.common_mode": 0.5}, {"supply.common_mode": 0.8}, {"supply.common_mode": 1.2}):
        load_technology(overrides={"supply.swing": 1.1, **overrides})
    load_technology(vdd=0.9, overrides={"supply.swing": 0.5})
    fix = "at most: lower it, or move supply.common_mode"
    assert [record.message for record in caplog.records] == [
        f"supply.swing is ±1.1 V, and sides about 0.25 V within rails 1 V apart hold ±0.5 V {fix}",
        f"supply.swing is ±1.1 V, and sides about 0.5 V within rails 1 V apart hold ±1 V {fix}",
        f"supply.swing is ±1.1 V, and sides about 0.8 V within rails 1 V apart hold ±0.4 V {fix}",
        f"supply.swing is ±1.1 V, and sides about 1.2 V within rails 1 V apart hold ±0 V {fix}",
        f"supply.swing is ±0.5 V, and sides about 0.225 V within rails 0.9 V apart hold ±0.45 V {fix}",
    ]


def test_a_prefix_forgotten_in_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mine.toml"
    text = TOML.read_text(encoding="utf-8")
    file.write_text(text.replace('value = 49, unit = "fF"', 'value = 49, unit = "F"', 1), encoding="utf-8")
    with pytest.raises(Error, match=r"mine\.toml': 'node\.capacitance' is 49 F, far outside"):
        load_technology(file)
    file.write_text(text.replace('value = 49, unit = "fF"', 'value = 49, unit = "nF"', 1), encoding="utf-8")
    assert load_technology(file).node.capacitance == 49e-9
    assert "mine.toml': 'node.capacitance' is 4.9e-08 F, outside" in caplog.text
