"""1/f noise: the σ of a run's frozen offsets against ngspice's .noise of cards that have it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from device_units import transistors

from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.devices.models import load_models
from dsmachine.circuits.technology import load_technology
from dsmachine.circuits.technology_parts import Flicker
from dsmachine.netlists.characterize import characterize
from dsmachine.netlists.flicker import measure_flicker
from dsmachine.netlists.ngspice import run_netlist

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
pytestmark = [pytest.mark.spice, NGSPICE]
OXIDE = 3.9 * 8.854e-12 / 1.15e-9  # F/m²
UNIFIED = "fnoimod=1 noia=6e45 noib=0 noic=0"
SQUARE = "fnoimod=0 kf=1e-22 af=1 ef=1"


@cache
def noisy(words: str, folder: Path, width: float = 120e-9, length: float = 1e-6) -> Transistors:
    """The bundled cards with 1/f noise."""
    path = folder / "noisy.pm"
    path.write_text(load_models().text.replace("fnoimod=0", words))
    size = {"coupling.width": width, "coupling.length": length, "supply.swing": 0.3}
    models = load_models(path)
    return Transistors(models, characterize("pair", models=models, engine="batch", overrides=size))


def transistor(devices: Transistors, *cards: str) -> str:
    card = devices.card
    line = devices.transistor("1", "d g s", "n", card.width * 1e6, card.length * 1e6)
    fixed = ["Vs s 0 0.25", f"Vd d s {card.full_scale / 4}", "Vg g 0 1 ac 1", "Vdd vdd 0 1", "Hout out 0 Vd 1"]
    return "\n".join(["transistor", devices.models.text, line, *fixed, ".options temp=27", *cards, ".end", ""])


@pytest.mark.parametrize(("width", "length"), [(120e-9, 1e-6), (480e-9, 1e-6), (240e-9, 2e-6)])
def test_sigma_of_a_run_is_what_spice_integrates(tmp_path: Path, width: float, length: float) -> None:
    """∫ S_v df from an hour to a microsecond is A_F²/(W L), whatever the size; white noise is under 3 % of it."""
    density = measure_flicker(noisy(UNIFIED, tmp_path))["flicker.density"]
    area = Flicker(density, slowest=3600.0, fastest=1e-6, conveyor_area=0.0).area
    devices = noisy(UNIFIED, tmp_path, width, length)
    found = run_netlist(
        transistor(devices, f".noise v(out) Vg dec 20 {1 / 3600:g} 1e6", ".print noise inoise_spectrum"), engine="batch"
    )
    weighted = found["inoise_spectrum"].real ** 2 * found.axis
    variance = float(np.trapezoid(weighted, np.log(found.axis)))
    assert np.sqrt(variance) == pytest.approx(area / np.sqrt(width * length), rel=0.03)


def test_density_of_the_cards_own_coefficients(tmp_path: Path) -> None:
    """S_i = K_F I/(C_ox L² f): D = K_F/C_ox · (W/L) I/g_m²."""
    devices = noisy(SQUARE, tmp_path)
    swept = run_netlist(transistor(devices, ".dc Vg 0.99 1.01 0.01", ".save i(Vd)", ".print dc i(Vd)"), engine="batch")[
        "i(vd)"
    ].real
    amperes, gm = abs(swept[1]), abs(swept[2] - swept[0]) / 0.02
    expected = 1e-22 / OXIDE * 0.12 * amperes / gm**2
    assert measure_flicker(devices)["flicker.density"] == pytest.approx(expected, rel=0.02)


def test_bundled_cards_have_none() -> None:
    assert measure_flicker(transistors()) == {"flicker.density": 0.0, "flicker.conveyor_area": 0.0}


def test_conveyors_flicker_as_a_small_gate(tmp_path: Path) -> None:
    """A technology takes what is measured; more conductance in the node makes less of it."""
    devices = replace(noisy(UNIFIED, tmp_path), conveyor="AB")
    found = measure_flicker(devices)
    assert load_technology(overrides=found).flicker.conveyor_area == found["flicker.conveyor_area"] > 0
    twice = measure_flicker(devices, conductance=2 * 32.26e-6)
    assert twice["flicker.conveyor_area"] == pytest.approx(4 * found["flicker.conveyor_area"])
