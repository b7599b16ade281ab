"""Machine files: presets are what their papers print, and whatever is wrong with a file is one line."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsmachine.circuits.errors import Error
from dsmachine.energy.machine import FIELDS, bundled_machines, load_machine

PUBLISHED = {  # nodes, mm², W: DS-ISA, table II
    "brim": (2000, 5.0, 0.25),
    "ds-gl": (8000, 6.5, 0.55),
    "ds-tpu": (2000, 34.1, 1.6),
}
TEXT = (resources.files("dsmachine.energy") / "machines" / "ds-tpu.toml").read_text(encoding="utf-8")


def write(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_are_as_published(name: str) -> None:
    chip = load_machine(name).chip
    nodes, area, power = PUBLISHED[name]
    assert (chip.nodes, chip.area, chip.power) == (nodes, pytest.approx(area * 1e-6), power)


@pytest.mark.parametrize("name", bundled_machines())
def test_every_number_has_a_source(name: str) -> None:
    machine = load_machine(name)
    stated = {key for key in FIELDS if getattr(getattr(machine, key.split(".")[0]), key.split(".")[1]) is not None}
    assert machine.name == name and set(machine.sources) == stated
    assert all(len(source) > 8 or source == "all to all" for source in machine.sources.values())


def test_a_file_of_ones_own_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT.replace("value = 2000, unit", "value = 3000, unit"))
    assert load_machine(path).chip.nodes == 3000
    machine = load_machine(path, overrides={"link.energy": 2e-12})
    assert machine.link.energy == 2e-12 and machine.sources["link.energy"] == "override"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[link]", "[links]", "'links' is no key of machine file .*did you mean 'link'"),
        ("lanes =", "lane =", r"'lane' is no key of \[link\] in .*did you mean 'lanes'"),
        ('unit = "mm²"', 'unit = "mm"', "'chip.area' has the unit 'mm': it is measured in m²"),
        ("value = 34.1, ", "", "'chip.area' has no value"),
        ("value = 34.1", "value = -1", "'chip.area' is -1: give a number above 0"),
        ("value = 34.1", 'value = "large"', "'chip.area' is 'large': give a number"),
        ("value = 2000", "value = 2000.5", "'chip.nodes' is 2000.5: it counts devices"),
        ("couplings =", "# couplings =", "has 'chip.nodes' without 'chip.couplings': give both"),
        ('name = "ds-tpu"', "name = 3", "'name' is 3: give it as text"),
        ("[chip]", "[chip", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(Error, match=said):
        load_machine(write(tmp_path, TEXT.replace(old, new, 1)))


def test_unknown_machines_and_keys(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"machine 'dstpu' is unknown: use brim or ds-gl or ds-tpu or wafer.*'ds-tpu'"):
        load_machine("dstpu")
    with pytest.raises(Error, match="cannot be read"):
        load_machine(tmp_path / "none.toml")
    with pytest.raises(Error, match=r"'chip.volume' is no key of"):
        load_machine("brim", overrides={"chip.volume": 1.0})
    with pytest.raises(Error, match=r"'chip.nodes' is nan: give a number above 0"):
        load_machine("brim", overrides={"chip.nodes": math.nan})


VALUES: Any = st.one_of(
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=5).map(repr),
    st.booleans().map(lambda b: str(b).lower()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.sampled_from(sorted(FIELDS)), VALUES, st.sampled_from(["1", "mm²", "GHz", "pJ", "W", "", "furlong", "1/0"]))
def test_any_value_is_read_or_refused_in_one_line(tmp_path: Path, key: str, value: object, unit: str) -> None:
    section, _, name = key.partition(".")
    lines, inside = [], ""
    for line in TEXT.splitlines():
        inside = line if line.startswith("[") else inside
        mine = inside == f"[{section}]" and line.startswith(f"{name} ")
        lines.append(f'{name} = {{ value = {value}, unit = "{unit}", source = "drawn" }}' if mine else line)
    try:
        machine = load_machine(write(tmp_path, "\n".join(lines)))
    except Error as error:
        assert len(str(error).splitlines()) == 1
    else:
        found = getattr(getattr(machine, section), name)
        assert math.isfinite(found) and found >= 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(Error) as caught:
        load_machine(path)
    assert "own.toml" in str(caught.value)
