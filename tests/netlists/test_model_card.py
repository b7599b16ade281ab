"""The bundled transistors in ngspice, against what was measured of the 45 nm process they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from dsmachine.circuits.devices.models import load_models
from dsmachine.netlists.ngspice import run_netlist

THERMAL = 0.025865  # kT/q [V] at 27 °C
pytestmark = pytest.mark.spice


def biased(
    points: Sequence[tuple[float, float]], size: str = "W=120n L=1u", celsius: float = 27
) -> Mapping[str, float]:
    """Amperes i(vK), and @mK[gm], @mK[gds], of an nfet at each (gate, drain) in volts, its source and bulk at 0."""
    lines = ["nfet", load_models().text, f".options reltol=1e-6 abstol=1e-16 gmin=1e-15 temp={celsius}", ".op"]
    for k, (gate, drain) in enumerate(points):
        lines += [f"Vg{k} g{k} 0 {gate}", f"V{k} 0 d{k} {-drain}", f"M{k} d{k} g{k} 0 0 nfet {size}"]
        lines += [f".save i(V{k}) @m{k}[gm] @m{k}[gds]"]
    waves = run_netlist("\n".join([*lines, ".end"]) + "\n", engine="batch")
    return {name: float(value[0]) for name, value in waves.values.items()}


def amperes(points: Sequence[tuple[float, float]], size: str = "W=120n L=1u", celsius: float = 27) -> np.ndarray:
    found = biased(points, size, celsius)
    return np.array([found[f"i(v{k})"] for k in range(len(points))])


def test_on_resistance_against_the_gate() -> None:
    resistance = 0.01 / amperes([(gate, 0.01) for gate in (0.4, 0.5, 0.6, 0.8, 1.0)])
    np.testing.assert_allclose(resistance, [652e3, 197e3, 104e3, 58e3, 45e3], rtol=0.04)


def test_resistance_climbs_with_the_drain() -> None:
    drain = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(drain / amperes([(1, v) for v in drain]), [49e3, 55e3, 64e3, 74e3, 88e3], rtol=0.03)


def test_saturation() -> None:
    found = biased([(1, 1)])
    assert found["i(v0)"] == pytest.approx(5.84e-6, rel=0.03)
    assert found["@m0[gm]"] == pytest.approx(13.7e-6, rel=0.05)
    assert found["@m0[gds]"] == pytest.approx(0.118e-6, rel=0.15)


def test_off_current() -> None:
    assert amperes([(0, 1)])[0] == pytest.approx(69e-12, rel=0.03)


def test_short_channel() -> None:
    resistance = 0.01 / amperes([(0.4, 0.01), (1, 0.01)], "W=90n L=50n")
    np.testing.assert_allclose(resistance, [23e3, 3.4e3], rtol=0.06)


@pytest.mark.parametrize("celsius", [-40, 27, 125])
def test_weak_inversion_slope(celsius: float) -> None:
    """n = ΔV_g / (kT/q Δln I): 1.11 … 1.14 at any temperature."""
    low, high = amperes([(0.2, 0.5), (0.25, 0.5)], celsius=celsius)
    slope = 0.05 / np.log(high / low) / (THERMAL * (celsius + 273.15) / 300.15)
    assert 1.10 <= slope <= 1.15


def test_conductance_falls_with_temperature() -> None:
    """Mobility as T^−1.5, the threshold's fall against it: between T^−1 and T^−1.6 at full gate."""
    cold, warm = (amperes([(1, 0.01)], celsius=celsius)[0] for celsius in (-40, 125))
    exponent = np.log(warm / cold) / np.log((125 + 273.15) / (-40 + 273.15))
    assert -1.6 < exponent < -1.0


def test_gate_capacitance() -> None:
    """2.2 fF of 120n × 1µ, saturated, from the gate's current at 1 MHz."""
    lines = ["cgg", load_models().text, "Vg g 0 dc 1 ac 1", "Vd d 0 1", "M1 d g 0 0 nfet W=120n L=1u"]
    waves = run_netlist("\n".join([*lines, ".ac lin 1 1meg 1meg", ".end"]) + "\n", engine="batch")
    farads = abs(waves["i(vg)"][0]) / (2 * np.pi * 1e6)
    assert farads == pytest.approx(2.2e-15, rel=0.2)


def test_triode_noise_is_that_of_its_conductance() -> None:
    """kT/C across a capacitor that only the transistor discharges: γ = 1 without drain voltage."""
    lines = ["ktc", load_models().text, "Vg g 0 dc 1 ac 1", "M1 y g 0 0 nfet W=120n L=1u ad=0 as=0 pd=0 ps=0"]
    lines += ["C1 y 0 1p", ".noise v(y) Vg dec 40 1 1g", ".end"]
    volts = run_netlist("\n".join(lines) + "\n", engine="batch")["onoise_total"][0]
    assert volts == pytest.approx(np.sqrt(1.380649e-23 * 300.15 / 1e-12), rel=0.01)


def test_p_channel_is_the_mirror_image_with_slower_holes() -> None:
    """µC_ox ≈ 150 µA/V² at 0.3 V overdrive; a threshold raised by adjusted() weakens it."""
    models = load_models()
    lines = ["pfet", models.text, ".op"]
    for k, words in enumerate(("", models.adjusted("pfet", threshold=0.05), models.adjusted("pfet", mobility=0.9))):
        lines += [f"Vg{k} g{k} 0 -0.7", f"V{k} d{k} 0 -0.01", f"M{k} d{k} g{k} 0 0 pfet W=120n L=1u{words}"]
    waves = run_netlist("\n".join([*lines, ".end"]) + "\n", engine="batch")
    plain, higher, slower = (float(waves[f"i(v{k})"][0]) for k in range(3))
    assert plain / 0.01 / 0.12 / 0.3 == pytest.approx(150e-6, rel=0.15)
    assert higher < 0.9 * plain
    assert slower == pytest.approx(0.9 * plain, rel=0.01)
