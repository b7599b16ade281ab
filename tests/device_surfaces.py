"""Device cards of a law on paper."""

from __future__ import annotations

import numpy as np

from dsmachine.circuits.devices.card import DeviceCard, Origin
from dsmachine.circuits.devices.factors import factored

MOBILITY = 2e-5  # siemens a volt
ORIGIN = Origin("paper", "TT", "none.pm", "nfet", "0" * 64, "paper", "paper-1", 1e-6)


def square_law_pair(cubic: float = 0.0) -> DeviceCard:
    """I = µ (V + 0.1 V) v − cubic·µ V² v³, of a pair; V from 0 to VDD = 1 V, v to ±0.5 V."""
    gates, volts = np.linspace(0, 1, 51), np.linspace(-0.5, 0.5, 41)
    surface = MOBILITY * np.outer(gates + 0.1, volts) - cubic * MOBILITY * np.outer(gates**2, volts**3)
    factors = factored(volts, surface, 1e-9, "odd")
    return DeviceCard(
        unit="pair", width=120e-9, length=1e-6, common_mode=0.25, vdd=1.0, temperature=300.15, full_scale=1 / 3,
        reach=1.0, gates=gates, volts=volts, surface=surface, table=factors.table, coefficients=factors.coefficients,
        error=factors.error, origin=ORIGIN,
    )  # fmt: skip
