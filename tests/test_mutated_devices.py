"""Damaged model cards and device files: they load, or are refused in one line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_surfaces import square_law_pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutations, overwritten

from dsmachine.circuits.devices.branch_card import BranchCard
from dsmachine.circuits.devices.cell_card import cell_card
from dsmachine.circuits.devices.feedback_card import FeedbackCard
from dsmachine.circuits.devices.lag import Lag
from dsmachine.circuits.devices.models import load_models
from dsmachine.circuits.devices.transit_card import TransitCard
from dsmachine.circuits.errors import Error
from dsmachine.netlists.allowed import check_netlist
from dsmachine.netlists.device_file import load_device, save_device

CARD = b"""* a card
.model nch nmos (level=54 vth0=0.4 ; volts
+ toxe=1.2n)
.param a=1 b='a*2'
.model pch pmos vth0={b}
"""
PIECES = [b"\n", b".control\n", b"\n.include /etc/hostname\n", b"`touch x`", b"\r", b"\x00", b"*#", b"\n+ ", b"(", b"="]
LAG = Lag(np.array([[1e-10, 1e-11], [1e-10, 1e-11]]), 0.05)
NUMBERS = [b"\0" * 8, b"\xff" * 8, b"\x00\x00\x00\x00\x00\x00\xf8\x7f", b"{}", b"null", b"-1"]
FUZZ = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(changes=mutations(PIECES, reach=len(CARD)), keep_length=st.booleans())
def test_model_cards(changes: list[tuple[int, int, bytes]], keep_length: bool, tmp_path: Path) -> None:
    """What loads is .model and .param cards of harmless characters, one a line."""
    path = tmp_path / "card.pm"
    path.write_bytes(overwritten(CARD, changes, keep_length))
    try:
        models = load_models(path)
    except Error as error:
        assert "\n" not in str(error)
        return
    for line in models.text.splitlines():
        assert re.fullmatch(r"\.(model|param) [a-z0-9_.=+\-*/(), '{}]+", line)
    check_netlist(f"netlist\n{models.text}\nR1 a 0 1k\n.op\n.end\n")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("device") / "card.h5"
    t = np.linspace(-1, 1, 9)
    branch = BranchCard(
        np.array([13.0, 34.0, 0.0]), np.array([0.0, 0.7, 0.0, 0.0]), np.eye(3)[0], np.eye(3)[0], 0.01, LAG,
        np.array([3e-11, 2e-11]),
    )  # fmt: skip
    cells = {"tanh": cell_card("tanh", t, t, 5e-6, LAG), "softmax": branch, "transit": TransitCard(t + 1, t + 2, t)}
    cells["feedback"] = FeedbackCard(t + 1, t + 1, np.outer(t + 1, t + 1), np.outer(t + 1, t + 1), t, t)
    save_device(replace(square_law_pair(cubic=0.3), cells=cells), path)
    return path.read_bytes()


@FUZZ
@given(changes=mutations(NUMBERS, reach=4096), keep_length=st.booleans())
def test_device_files(changes: list[tuple[int, int, bytes]], keep_length: bool, device: bytes, tmp_path: Path) -> None:
    """What loads has the numbers that were written: sums find any other."""
    path = tmp_path / "card.h5"
    path.write_bytes(overwritten(device, changes, keep_length))
    try:
        card = load_device(path)
    except Error as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    expected = square_law_pair(cubic=0.3)
    for name in ("gates", "volts", "surface", "table", "coefficients"):
        np.testing.assert_array_equal(getattr(card, name), getattr(expected, name))
    assert np.isfinite(card.control(1e-5))
