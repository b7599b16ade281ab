"""Couplings of transistors against laws written down: a resistor is the linear coupling, the square law by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_cards import BETA, THRESHOLD, bent, card, resistor, square_pair, square_quad, square_single

from dsmachine.circuits.cells import TransistorCoupling, of_transistors, with_transistors
from dsmachine.circuits.cells.mismatch import Draw
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.channel_noise import channel_noise
from dsmachine.circuits.errors import Error
from dsmachine.circuits.technology import load_technology

Array = Any
G0 = 32.26e-6  # S
P, IN, OUT = 3, 8, 6
APART = np.array([0.5, 1, 1])[:, None]


def linear(**node: Any) -> Circuit:
    """A crossbar of three positions, the first at other volts, a node that does not exist, a weight of 0."""
    rng = np.random.default_rng(1)
    circuit = Circuit("crossbar")
    circuit.clamp("u", (P, IN), unit=APART * rng.uniform(0.5, 1, IN))
    exists = np.ones((P, OUT), bool)
    exists[1, 2] = False
    circuit.nodes("v", (P, OUT), unit=APART**2 * rng.uniform(0.5, 0.7, OUT), exists=exists, **node)
    weight = rng.normal(size=(OUT, IN)) / 3
    weight[1, 3] = 0
    circuit.couple("w", "u", "v", weight)
    return circuit


def built(device: Any, **node: Any) -> tuple[Circuit, TransistorCoupling]:
    circuit = with_transistors(linear(**node), device)
    term = circuit.terms["w"]
    assert isinstance(term, TransistorCoupling)
    return circuit, term


def signals(samples: int = 5, seed: int = 2) -> dict[str, Array]:
    return {"u": np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, P, IN))}


def volts(circuit: Circuit, x: dict[str, Array]) -> Array:
    return x["u"] * circuit.units("u")


def currents(circuit: Circuit, term: Any, x: dict[str, Array]) -> Array:
    """I_ij [A] (K, P, out, in), each unit with all others' drivers at rest."""
    found = np.zeros((len(x["u"]), P, OUT, IN))
    for j in range(IN):
        only = np.zeros_like(x["u"])
        only[..., j] = x["u"][..., j]
        found[..., j] = term.drive({"u": only}) * G0 * circuit.units("v")
    return found


# --- a resistor is the linear coupling --------------------------------------------------------------


@pytest.mark.parametrize("device", [resistor(), square_pair(), square_quad()], ids=["resistor", "pair", "quad"])
def test_units_that_are_linear_are_the_linear_coupling(device: Any) -> None:
    plain = linear()
    circuit, term = built(device)
    other, x, dx = plain.terms["w"], signals(), signals(seed=3)
    physical = (
        (term.noise(circuit)(x), other.noise(plain)(x)),
        (term.loading(circuit)[0], other.loading(plain)[0]),
        *zip(term.meter(circuit)(x), other.meter(plain)(x), strict=True),
    )
    for mine, theirs in (
        (term.drive(x), other.drive(x)),
        (term.jvp(x, dx), other.jvp(x, dx)),
        (term.jvp({"u": x["u"][:1]}, dx), other.jvp({"u": x["u"][:1]}, dx)),
        (term.peaks(circuit), other.peaks(plain)),
        (term.siemens(circuit, 0), other.siemens(plain, 0)),  # type: ignore[attr-defined]
        (term.siemens(circuit, 2), other.siemens(plain, 2)),  # type: ignore[attr-defined]
        *(physical if device.unit != "quad" else ()),
    ):
        here = circuit.arrays["v"].present if np.shape(mine)[-2:] == (P, OUT) else True
        assert np.max(np.abs(mine - theirs) * here) <= 1e-12 * np.max(np.abs(theirs))
    assert term.strongest(circuit) == pytest.approx(other.strongest(plain), rel=1e-12)
    for name in ("count", "fan_out", "extent", "columns", "weights"):
        assert getattr(term, name)(circuit) == getattr(other, name)(plain), name
    assert term.jvp(x, {}) == other.jvp(x, {}) == 0


def test_chips_of_linear_units_err_as_the_linear_coupling() -> None:
    plain = linear()
    circuit, _ = built(resistor())
    one, other = (fabricate(c, seed=4, mismatch=0.05, vt_mismatch=0.02).circuit.terms["w"] for c in (circuit, plain))
    there = np.where(plain.terms["w"].weight == 0, 0.0, 1.0)  # type: ignore[attr-defined]
    assert one.siemens(circuit, 2) == pytest.approx(other.siemens(plain, 2) * there, rel=1e-11)  # type: ignore[attr-defined]


def test_a_quad_has_noise_heat_and_loading_of_both_its_pairs() -> None:
    """o_A + o_B = 2 m β (V_b − V_t) v in the square law, whatever the weight."""
    circuit, term = built(square_quad())
    x = signals()
    each = 2 * term.fingers * BETA * (0.75 - THRESHOLD)
    here = circuit.arrays["v"].present
    units = (term.weight != 0).sum(axis=1) * here
    assert term.loading(circuit)[0] == pytest.approx(each * units, rel=1e-9)
    assert term.noise(circuit)(x) * here == pytest.approx(np.broadcast_to(each * units, (5, P, OUT)), rel=1e-9)
    columns = (here[:, :, None] & (term.weight != 0)).sum(axis=1)
    heat = (each * columns * volts(circuit, x) ** 2).sum(axis=(1, 2))
    assert term.meter(circuit)(x).heat == pytest.approx(heat, rel=1e-9)


def test_tile() -> None:
    plain = linear()
    _, term = built(resistor())
    rows, columns = np.arange(OUT) < 2, np.arange(IN) > 4
    x = signals()
    found, expected = (t.tile(rows, columns).drive(x) for t in (term, plain.terms["w"]))
    assert found == pytest.approx(expected, abs=1e-14)


def test_matrices_are_of_the_weights_type() -> None:
    """A circuit mapped in float32 holds r·sets matrices in half the memory; chips too."""
    plain = linear()
    weight = plain.terms["w"].weight.astype(np.float32)  # type: ignore[attr-defined]
    half = plain.with_terms([replace(plain.terms["w"], weight=weight)])  # type: ignore[type-var]
    spread: dict[str, Any] = {"threshold_area": 3.5e-9, "mismatch": 0.02, "trim": {"write-verify": 0.01}}
    x = signals()
    built = [with_transistors(circuit, square_pair()) for circuit in (half, plain)]
    for circuits in (built, [fabricate(circuit, **spread).circuit for circuit in built]):
        mine, theirs = (circuit.terms["w"] for circuit in circuits)
        assert mine.matrices.dtype == np.float32  # type: ignore[attr-defined]
        assert mine.drive(x) == pytest.approx(theirs.drive(x), abs=1e-5)


# --- the square law by hand -------------------------------------------------------------------------


def test_single_transistors_follow_the_square_law() -> None:
    """I = s m β[(V − V_t) v − v²/4] with m β (V − V_t) = |G|; the square has the sign of the connection."""
    circuit, term = built(square_single())
    x = signals()
    v = volts(circuit, x)[:, :, None, :]
    g = np.stack([linear().terms["w"].siemens(linear(), p) for p in range(P)])  # type: ignore[attr-defined]
    expected = g * v - np.sign(g) * term.fingers * BETA / 4 * v**2
    assert currents(circuit, term, x) == pytest.approx(expected, abs=1e-12 * np.abs(expected).max())
    assert term.fingers == int(np.ceil(np.abs(g).max() / (BETA * (1 - THRESHOLD))))


@pytest.mark.parametrize("device", [bent(), card("single", [BETA], [0.0], [[0, 1, -0.3]])], ids=["bent", "single"])
def test_derivative_noise_and_power_are_those_of_the_currents(device: Any) -> None:
    circuit, term = built(device)
    x, dx, h = signals(), signals(seed=3), 1e-5
    more, less = ({"u": x["u"] + s * h * dx["u"]} for s in (1, -1))
    slope = (term.drive(more) - term.drive(less)) / (2 * h)
    assert term.jvp(x, dx) == pytest.approx(slope, abs=1e-9 * np.abs(slope).max())
    more, less = ({"u": x["u"] + s * h} for s in (1, -1))
    by_unit = (currents(circuit, term, more) - currents(circuit, term, less)) / (2 * h)
    conductance = np.abs(by_unit / circuit.units("u")[:, None, :])
    if device.unit != "single":
        assert term.noise(circuit)(x) == pytest.approx(conductance.sum(axis=-1), rel=1e-8)
    here = circuit.arrays["v"].present[:, :, None]
    amperes, v = np.abs(currents(circuit, term, x)) * here, np.abs(volts(circuit, x))[:, :, None, :]
    power = term.meter(circuit)(x)
    assert power.heat == pytest.approx((amperes * v).sum(axis=(1, 2, 3)), rel=1e-12)
    assert power.delivered == pytest.approx(power.heat)
    assert power.supply == pytest.approx(amperes.sum(axis=(1, 2, 3)), rel=1e-12)


def test_singles_have_the_noise_of_their_channels() -> None:
    """I = G (v − 0.3 v²): ∫ h² dv / ∫ h dv = G (1 − 0.6 v + 0.12 v²)/(1 − 0.3 v), whichever way it is connected."""
    circuit, term = built(card("single", [BETA], [0.0], [[0, 1, -0.3]]))
    x = signals()
    v = volts(circuit, x)[:, :, None, :]
    g = np.stack([np.abs(term.siemens(circuit, p)) for p in range(P)])
    expected = (g * (1 - 0.6 * v + 0.12 * v * v) / (1 - 0.3 * v)).sum(axis=-1)
    assert term.noise(circuit)(x) == pytest.approx(expected, rel=3e-3)


def test_a_saturated_channel_has_two_thirds_of_its_conductance() -> None:
    """The square law to V_ov = 1 V: ⅔ g (1 + q + q²)/(1 + q), q = 1 − v."""
    v = np.linspace(-1, 1, 201)
    q = 1 - v
    assert channel_noise(v, q) == pytest.approx(2 / 3 * (1 + q + q * q) / (1 + q), rel=1e-9)


# --- chips --------------------------------------------------------------------------------------------


def unequal(device: Any, rows: int = 300, control: float = 0.8, **spread: Any) -> tuple[Circuit, Any, Array]:
    """Many equal units of one finger at a control voltage, as a chip has them; 1 V a logical unit."""
    circuit = Circuit("equal units")
    circuit.clamp("u", (100,))
    circuit.nodes("v", (rows,))
    weight = np.full((rows, 100), float(device.conductance(control)) / G0)
    circuit.couple("w", "u", "v", weight, device_card=device)
    chip = fabricate(circuit, seed=5, **spread)
    found = chip.circuit.terms["w"]
    return chip.circuit, found, found.siemens(chip.circuit)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "device,control,units,overdrive",
    [(square_single(), 0.8, 1, 0.45), (square_pair(), 0.8, 2, 0.45)],
    ids=["single", "pair"],
)
def test_spread_of_conductance_is_pelgroms(device: Any, control: float, units: int, overdrive: float) -> None:
    """σ²(ΔG/G) = [(A_Vt/(V − V_t))² + A_β²] / (W L · devices)."""
    a_vt, a_beta = 3.5e-9, 1.5e-8
    _, _, g = unequal(device, control=control, threshold_area=a_vt, beta_area=a_beta)
    expected = np.sqrt(((a_vt / overdrive) ** 2 + a_beta**2) / (120e-9 * 1e-6 * units))
    assert (g / float(device.conductance(control))).std() == pytest.approx(expected, rel=0.02)


def test_quad_errs_by_the_difference_of_its_pairs() -> None:
    """G = β V for V = V_A − V_B: σ(ΔG) = β √(σ_Vt² + σ_β² (o_A² + o_B²)/2), o the pairs' overdrives."""
    a_vt, a_beta, volts = 3.5e-9, 1.5e-8, 0.2
    _, _, g = unequal(square_quad(), control=volts, threshold_area=a_vt, beta_area=a_beta)
    side, over = np.sqrt(120e-9 * 1e-6), 0.75 - THRESHOLD + volts / 2 * np.array([1, -1])
    expected = BETA * np.sqrt((a_vt / side) ** 2 + (a_beta / side) ** 2 * (over**2).sum() / 2)
    assert g.mean() == pytest.approx(BETA * volts, rel=1e-2)
    assert g.std() == pytest.approx(expected, rel=0.02)


def test_a_pair_of_unequal_transistors_by_hand() -> None:
    """I = ½ [f₁(v/2) − f₂(−v/2)] with f_k = 2 (1 + β_k) β[(V − δ_k − V_t) u − u²/2], on the chip's own draws."""
    _, term, _ = unequal(square_pair(), rows=20, threshold_area=10e-9, beta_area=5e-8)
    side, draw, shape = np.sqrt(120e-9 * 1e-6), Draw(5), (20, 100)
    u, total = 0.4 / 2, 0.0
    for k, sign in ((0, 1), (1, -1)):
        shift = 10e-9 / side * draw("w", f"threshold of transistor {k}", shape)
        gain = 5e-8 / side * draw("w", f"beta of transistor {k}", shape)
        total += sign * (1 + gain) * BETA * ((0.8 - shift - THRESHOLD) * sign * u - u**2 / 2)
    assert term.drive({"u": np.full((1, 100), 2 * u)})[0] * G0 == pytest.approx(total.sum(axis=1), rel=1e-10)


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, 0.5])
def test_a_gradient_rises_evenly_across_the_array(angle: float) -> None:
    """G = β (1 + Γ_β s)(V − Γ_Vt s − V_t), s in couplings from the middle along the direction; a row's mean stays."""
    shift, gain = 2e-4, 1e-4
    _, _, g = unequal(square_pair(), threshold_gradient=shift, beta_gradient=gain, gradient_angle=angle)
    row, column = np.mgrid[-149.5:150, -49.5:50]
    s = column * np.cos(angle) + row * np.sin(angle)
    assert g == pytest.approx(BETA * (1 + gain * s) * (0.8 - shift * s - THRESHOLD), rel=1e-9)
    _, _, trimmed = unequal(square_pair(), threshold_gradient=shift, gradient_angle=angle, trim={"write-verify": 0.0})
    assert trimmed == pytest.approx(BETA * (0.8 - THRESHOLD), rel=1e-9)


@pytest.mark.parametrize("spread", [{"threshold_gradient": -1e-6}, {"beta_gradient": 1.0}, {"gradient_angle": "up"}])
def test_gradients_that_are_none(spread: dict[str, Any]) -> None:
    with pytest.raises(Error, match=f"{next(iter(spread))} is "):
        unequal(square_pair(), **spread)


def test_wider_transistors_and_more_fingers_match_better() -> None:
    spread = {"threshold_area": 3.5e-9}
    _, _, one = unequal(square_pair(), **spread)
    _, _, wide = unequal(replace(square_pair(), width=480e-9), **spread)
    assert one.std() / wide.std() == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("device,control", [(square_pair(), 0.8), (square_quad(), 0.2), (square_single(), 0.8)])
def test_write_verify_moves_the_gates_until_the_conductance_is_right(device: Any, control: float) -> None:
    wanted = float(device.conductance(control))
    spread = {"threshold_area": 3.5e-9, "beta_area": 1.5e-8}
    circuit, term, exact = unequal(device, control=control, trim={"write-verify": 0.0}, **spread)
    assert exact == pytest.approx(wanted, rel=1e-9)
    _, _, near = unequal(device, control=control, trim={"write-verify": 0.005}, **spread)
    assert (near / wanted).std() == pytest.approx(0.005, rel=0.02)
    if device.unit != "single":  # what is even stays
        x = np.full((1, 100), 0.4)
        both = term.drive({"u": x}) + term.drive({"u": -x})
        assert np.abs(both).max() > 1e-3 * np.abs(term.drive({"u": x})).max()
    assert circuit.terms["w"] is term


def test_write_verify_stops_at_the_supply_and_at_the_dacs_levels() -> None:
    spread = {"threshold_area": 3.5e-9, "trim": {"write-verify": 0.0}}
    _, _, strong = unequal(square_single(), control=1.0, **spread)
    shift = 3.5e-9 / np.sqrt(120e-9 * 1e-6) * Draw(5)("w", "threshold of transistor 0", (300, 100))
    expected = BETA * (1.0 - THRESHOLD - np.maximum(shift, 0))
    assert strong == pytest.approx(expected, rel=1e-9)
    _, _, coarse = unequal(square_single(), weight_bits=8, **spread)
    step = 2.0 / (2**8 - 2)
    assert np.abs(coarse / BETA - 0.45).max() == pytest.approx(step / 2, rel=0.02)


def test_a_dac_writes_the_control_voltage() -> None:
    circuit, term = built(square_pair())
    written = fabricate(circuit, weight_bits=6).circuit.terms["w"]
    step = 2.0 / (2**6 - 2)
    levels = written.control(circuit) / step  # type: ignore[attr-defined]
    assert levels == pytest.approx(np.round(levels), abs=1e-9)
    wrong = written.siemens(circuit, 1) - term.siemens(circuit, 1)  # type: ignore[attr-defined]
    assert np.abs(wrong).max() <= term.fingers * BETA * step / 2 * (1 + 1e-9)
    assert np.abs(wrong).max() > 0.5 * term.fingers * BETA * step / 2


# --- sizes and errors ---------------------------------------------------------------------------------


def test_area_counts_every_gate() -> None:
    technology = load_technology()
    for device, transistors in ((square_single(), 1), (square_pair(), 2), (square_quad(), 4)):
        circuit, term = built(device)
        gates = transistors * term.fingers * 120e-9 * 1e-6
        expected = P * (OUT * IN - 1) * (technology.coupling.area + gates)
        assert term.area(circuit, technology) == pytest.approx(expected)


@pytest.mark.parametrize(
    "options,said",
    [
        ({"passive": True}, "is a coupling passive: transistors make dense, buffered, one-sided ones"),
        ({"balanced": True}, "is a coupling balanced"),
        ({"elementwise": True}, "is a coupling one a node"),
    ],
)
def test_what_is_not_built_of_transistors(options: dict[str, Any], said: str) -> None:
    circuit = Circuit("c")
    circuit.clamp("u", (3,))
    circuit.nodes("v", (3,))
    with pytest.raises(Error, match=said):
        circuit.couple(
            "w", "u", "v", np.eye(3)[0] if "elementwise" in options else np.eye(3), device_card=resistor(), **options
        )


def test_volts_beyond_the_card() -> None:
    circuit = Circuit("c")
    circuit.clamp("u", (3,), rail=0.7)
    circuit.nodes("v", (3,))
    circuit.couple("w", "u", "v", np.eye(3))
    with pytest.raises(Error, match=r"nodes of 'u' reach ±0\.7 V, the device card ±0\.6 V: characterize"):
        of_transistors(circuit.terms["w"], circuit, resistor())  # type: ignore[arg-type]


def test_an_array_that_is_not_there() -> None:
    circuit = Circuit("c")
    circuit.clamp("u", (3,))
    with pytest.raises(Error, match="names the array 'v', which the circuit lacks"):
        circuit.couple("w", "u", "v", np.eye(3), device_card=resistor())


def test_factors_of_another_basis_are_the_same_current() -> None:
    """Shapes mixed and cut to their lowest powers: the card's own law is what comes out."""
    mixed = card(
        "pair",
        [BETA, BETA / 4],
        [0.0, BETA / 3],
        [[0, 0.9, 0, 0.4, 0, -0.3, 0, 0.2], [0, 0.2, 0, 1.1, 0, 0.5, 0, -0.4]],
    )
    circuit, term = built(mixed)
    x = signals()
    phi = mixed.factors(term.control(circuit)) * term.fingers  # (sets, out, in, r)
    v = volts(circuit, x)
    shapes = np.stack(mixed.shapes(v), axis=-1)
    sign = np.sign(term.weight)
    expected = np.stack(
        [np.einsum("oir,kir->ko", sign[:, :, None] * phi[s], shapes[:, p]) for p, s in enumerate((0, 1, 1))], 1
    )
    assert term.drive(x) * G0 * circuit.units("v") == pytest.approx(expected, abs=1e-12 * np.abs(expected).max())
