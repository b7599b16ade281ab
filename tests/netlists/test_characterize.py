"""Cards that ngspice measures: a transistor with a law on paper, the bundled one at other points, corners, heat."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.circuits.devices.models import ModelCard, load_models
from dsmachine.circuits.errors import Error
from dsmachine.netlists.characterize import Bench, characterize, corner_of
from dsmachine.netlists.ngspice import Engine

KP, THRESHOLD = 200e-6, 0.3
NARROW = {"supply.swing": 0.1}  # volts
pytestmark = pytest.mark.spice


@pytest.fixture
def square(tmp_path: Path) -> ModelCard:
    """The square law, SPICE level 1: I = KP W/L ((V_gs − V_t) V_ds − V_ds²/2) in triode."""
    path = tmp_path / "square.pm"
    path.write_text(f".model nch nmos level=1 kp={KP} vto={THRESHOLD} gamma=0 lambda=0\n")
    return load_models(path)


@pytest.fixture(scope="module")
def pair() -> DeviceCard:
    return characterize("pair", engine="batch")


def test_a_quad_in_the_square_law_is_one_product(square: ModelCard) -> None:
    """I = ½ KP W/L V v, exactly: both squares cancel."""
    card = characterize("quad", models=square, overrides=NARROW, bias=0.9, tolerance=1e-4, engine="batch")
    assert card.rank == 1
    assert card.error < 1e-6
    v, control = np.linspace(-0.1, 0.1, 5), np.array([-0.2, 0.05, 0.2])
    np.testing.assert_allclose(card.current(control[:, None], v), KP * 0.06 * np.outer(control, v), atol=1e-12)
    assert float(card.control(-KP * 0.06 * 0.1)) == pytest.approx(-0.1, abs=1e-5)
    assert card.reach == pytest.approx(0.2)
    assert card.pair is not None and card.pair.unit == "pair"


def test_the_even_part_of_a_pair_in_the_square_law(square: ModelCard) -> None:
    """f(V, u) = K ((V − V_t − V_CM) u − u²/2): o = ½ K (…) v, e = −K v²/8."""
    card = characterize("pair", models=square, overrides=NARROW, engine="batch")
    assert card.even is not None
    v = np.linspace(-0.1, 0.1, 5)
    np.testing.assert_allclose(card.current(0.9, v), KP * 0.06 * (0.9 - THRESHOLD - 0.25) * v, atol=3e-9)
    np.testing.assert_allclose(card.even.current(0.9, v), -KP * 0.06 * v**2 / 4, atol=3e-9)


@pytest.mark.parametrize("unit", ["single", "pair", "quad"])
def test_ngspice_agrees_between_the_points_within_the_stated_error(unit: str, pair: DeviceCard) -> None:
    card = pair if unit == "pair" else characterize(unit, engine="batch")  # type: ignore[arg-type]
    assert card.error <= card.origin.tolerance * 1.05
    bench = Bench(load_models(), card.width, card.length, card.temperature, card.common_mode)
    gates, volts = 0.013 + 0.037 * np.arange(27), 0.0127 * np.arange(-38, 39)
    if unit == "quad":
        gates = 0.0173 * np.arange(1, 22)  # up to 0.36 of 0.38 V
        above, _ = bench.sweep(card.bias + gates / 2, volts / 2, "batch")
        below, _ = bench.sweep(card.bias - gates[::-1] / 2, volts / 2, "batch")
        exact = _odd(above) - _odd(below[::-1])
    else:
        found, _ = bench.sweep(gates, volts / 2, "batch")
        exact = found / 2 if unit == "single" else _odd(found)
    missed = np.abs(card.current(gates[:, None], volts) - exact).max()
    assert missed <= 1.2 * card.error * np.abs(card.surface).max()


def _odd(surface: np.ndarray) -> np.ndarray:
    return (surface - surface[:, ::-1]) / 2


def test_fewer_products_for_a_narrower_swing() -> None:
    """120n × 1µ over ±0.1 V: two products leave some 0.1 %, a quad's one product about as much."""
    narrow = characterize("pair", overrides=NARROW, tolerance=2e-3, engine="batch")
    assert narrow.rank <= 2
    wide = characterize("pair", tolerance=2e-3, engine="batch")
    assert wide.rank >= narrow.rank


def test_a_finger_of_the_bundled_transistor(pair: DeviceCard) -> None:
    """45 kΩ at a gate of 1 V over a grounded source; 0.25 V under that and with body effect some 75 kΩ, twice."""
    assert 1 / float(pair.conductance(1.0)) == pytest.approx(150e3, rel=0.1)
    assert pair.origin.model == "nfet" and pair.origin.models == "cmos45.pm"
    assert pair.origin.engine == "batch" and pair.origin.version.startswith("ngspice-")
    assert pair.origin.sha256 == load_models().sha256
    assert pair.gates[-1] > pair.vdd and pair.volts[-1] == 0.5


def test_corners_move_threshold_and_mobility() -> None:
    shift, mobility = corner_of("cmos45", "SS")
    assert shift == pytest.approx(0.0375)
    assert mobility == pytest.approx(0.85 * 0.625 / 0.5875)
    slow, typical, fast = (characterize("pair", corner=c, tolerance=5e-3, engine="batch") for c in ("SS", "TT", "FF"))
    # The same overdrive in a slower device: mobility is all that is left, and its fall with the higher gate.
    assert slow.conductance(0.9 + shift) == pytest.approx(mobility * typical.conductance(0.9), rel=0.07)
    assert slow.conductance(1.0) < typical.conductance(1.0) < fast.conductance(1.0)
    assert (slow.origin.corner, fast.origin.corner) == ("SS", "FF")


@pytest.mark.parametrize("celsius", [-40, 125])
def test_temperature_is_that_of_the_simulation(celsius: float, pair: DeviceCard) -> None:
    card = characterize("pair", temperature=celsius + 273.15, tolerance=5e-3, engine="batch")
    assert card.temperature == pytest.approx(celsius + 273.15)
    rises = card.conductance(1.0) > pair.conductance(1.0)
    assert rises == (celsius < 27)
    assert 1.1 < card.conductance(1.0) / pair.conductance(1.0) * (1.0 if rises else 2.0) < 2.0


def test_size_overrides_the_technology(pair: DeviceCard) -> None:
    wide = characterize("pair", overrides={"coupling.width": 240e-9}, tolerance=5e-3, engine="batch")
    assert wide.width == 240e-9
    assert wide.conductance(1.0) == pytest.approx(2 * pair.conductance(1.0), rel=0.05)


@pytest.mark.parametrize("engine", ["pyspice", "neospice"])
def test_other_engines_measure_the_same(engine: Engine, pair: DeviceCard) -> None:
    if importlib.util.find_spec({"pyspice": "PySpice"}.get(engine, engine)) is None:
        pytest.skip(f"needs {engine}")
    card = characterize("pair", engine=engine)
    assert card.origin.engine == engine
    np.testing.assert_allclose(card.surface, pair.surface, atol=1e-6 * np.abs(pair.surface).max())


def test_corner_of_a_model_that_has_none(square: ModelCard) -> None:
    with pytest.raises(Error, match=r"level 1, whose transistors take no threshold .*use BSIM4"):
        characterize("pair", models=square, corner="SS", engine="batch")


def test_corners_are_not_asked_of_neospice() -> None:
    pytest.importorskip("neospice")
    with pytest.raises(Error, match="'neospice' ignores delvto"):
        characterize("pair", corner="FF", engine="neospice")


@pytest.mark.parametrize(
    ("words", "reason"),
    [("level=777", "Illegal value for level"), ("level=54 toxe=-1", "Toxe"), ("level=54 vth0={vt}", "vt")],
)
def test_a_model_that_ngspice_rejects(words: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pm"
    path.write_text(f".model nch nmos {words}\n")
    with pytest.raises(Error, match=f"ngspice rejects the netlist: .*{reason}") as caught:
        characterize("pair", models=load_models(path), engine="batch")
    assert "\n" not in str(caught.value)


def test_a_parameter_that_ngspice_ignores_is_said(square: ModelCard, caplog: pytest.LogCaptureFixture) -> None:
    models = replace(square, text=f"{square.text} foo=3")
    characterize("quad", models=models, overrides=NARROW, bias=0.9, engine="batch")
    assert "ignores parameters of square.pm: foo" in caplog.text
