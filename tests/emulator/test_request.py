"""Options that an engine would ignore are turned down by name."""

from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.run import transient


def circuit() -> Circuit:
    rc = Circuit("rc")
    rc.clamp("u", (1,))
    rc.nodes("v", (1,))
    rc.couple("w", "u", "v", 1.0)
    return rc


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "euler"}, "'euler'"),
        ({"noise": "thermal", "method": "elements"}, "'elements'"),
        ({"noise": "loud"}, "'loud'"),
        ({"noise": 2.0}, "2.0"),
        ({"noise": "thermal", "noise_seed": -1}, "-1"),
        ({"noise": "thermal", "tolerance": 1e-4}, "tolerance"),
        ({"noise": "thermal", "duration": 1e-9}, "duration"),
        ({"noise": "thermal", "settle_bits": 8}, "settle_bits"),
        ({"noise": 0.01, "samples": 0}, "samples"),
        ({"noise": 0.01, "read_window": -1.0}, "-1.0"),
        ({"noise": 0.01, "step": 0.0}, "step"),
        ({"method": "stepper", "points": 6}, "points"),
        ({"method": "stepper", "elements": np.array([1e-9])}, "elements"),
        ({"method": "stepper", "accuracy": "settling"}, "accuracy"),
        ({"step": 0.25}, "step"),
        ({"samples": 3}, "samples"),
        ({"read_window": 1e-9}, "read_window"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"accuracy": "best"}, "'best'"),
        ({"duration": -1e-9}, "duration"),
    ],
)
def test_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ds.Error, match=named):
        transient(circuit(), {"u": [0.2]}, **options)


def test_engine_is_stated() -> None:
    assert transient(circuit(), {"u": [0.2]}).statistics["engine"] == "numpy finite elements"
    noisy = transient(circuit(), {"u": [0.2]}, noise="thermal")
    assert noisy.statistics["engine"] == "numpy stepper"
    assert noisy.statistics["noise_seed"] == 0
    assert noisy.settling_time is None
    assert "noise" in repr(noisy)
