"""Hold capacitor: what a bank keeps of a token while its switch is open (DESIGN §1).

    C dv/dt = −I_off sign(v),  until v = 0        |v(t)| = max(|v(0)| − I_off t / C, 0)

The open switch leaks towards the common mode with its subthreshold current, which does not depend on |v| once that is a
few kT/q: 69 pA move 49 fF by 1.4 mV/µs. A `low-leakage` switch is one whose gate is driven under its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Error

if TYPE_CHECKING:
    from ..technology import Technology

Array = Any
HOLDS = ("plain", "low-leakage", "ideal")


def leakage(technology: Technology, hold: str) -> float:
    """I_off [A] of a bank's switches: plain, low-leakage or ideal (none). Raises Error for others."""
    switch = technology.switch
    currents = {"plain": switch.off_current, "low-leakage": switch.low_leakage_current, "ideal": 0.0}
    if hold not in currents:
        raise Error(f"hold {hold!r} is unknown: use {', '.join(HOLDS)}")
    return currents[hold]


def drooped(volts: Array, seconds: float, amperes: float, farads: float) -> Array:
    """What is left of held voltages after `seconds`."""
    return np.sign(volts) * np.maximum(np.abs(volts) - amperes * seconds / farads, 0.0)
