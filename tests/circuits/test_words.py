"""Numbers and words as people read them."""

import numpy as np
import pytest

from dsmachine.circuits.units import engineering, scaled
from dsmachine.circuits.words import counted, visible


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0, "J", "0 J"),
        (-2.5e-4, "V", "-250 µV"),
        (1e-9, "s", "1 ns"),
        (9.996e-10, "s", "1 ns"),
        (999.4, "W", "999 W"),
        (999_600, "B", "1 MB"),
        (900, "B", "900 B"),
        (3e-19, "J", "0.3 aJ"),
        (5e16, "Hz", "5e+04 THz"),
        (float("nan"), "s", "nan s"),
        (float("inf"), "s", "inf s"),
    ],
)
def test_three_digits_and_a_prefix(value: float, unit: str, said: str) -> None:
    assert engineering(value, unit) == said


@pytest.mark.parametrize("power", range(-18, 13, 3))
def test_one_prefix_brings_numbers_into_1_to_1000(power: int) -> None:
    for digits in (1.0, 9.99, 999.0):
        factor, unit = scaled(digits * 10.0**power, "V")
        assert digits * 10.0**power * factor == pytest.approx(digits) and unit.endswith("V") and len(unit) <= 2
    assert scaled(10.0**power, "V") == scaled(float(np.float64(10.0**power)), "V")


@pytest.mark.parametrize("unit", ["1", "nat", "°", "%", "µm²"])
def test_plain_numbers_and_powers_stay(unit: str) -> None:
    assert scaled(1e-9, unit) == (1.0, unit)


def test_one_is_singular() -> None:
    assert [counted(n, "node", "saturate") for n in (0, 1, 2)] == [
        "0 nodes saturate",
        "1 node saturates",
        "2 nodes saturate",
    ]
    assert counted(1, "point", "have") == "1 point has" and counted(1234, "step") == "1,234 steps"


def test_blanks_are_seen() -> None:
    assert [visible(said) for said in (" ", "\n\n", "", "of ")] == ["␣", "⏎⏎", "(nothing)", "of "]
