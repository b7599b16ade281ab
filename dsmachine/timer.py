"""How long a machine without an oracle has to wait before it is read (DESIGN §2).

    timer time = p99 over calibration prompts of the time at which the machine has settled

A chip cannot tell that it has settled; it is read after a time that nearly every prompt needs less of.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .circuits import checks
from .circuits.cells import Converter
from .circuits.checkpoints import Model
from .circuits.chip import Chip
from .circuits.circuit import Circuit
from .circuits.tokens import window_starts
from .circuits.words import counted
from .emulator.plan import Plan
from .emulator.prepare import prepare
from .emulator.request import checked_bits
from .emulator.run import transient

Array = Any
log = logging.getLogger(__name__)
QUANTILE = 0.99
MOST_PROMPTS = 1000  # they anneal side by side, so memory grows with them
TOLERANCE = 1e-3  # of the finite elements at most; a quarter of the band that is watched where that is less


def timer_time(
    model: Model,
    machine: Circuit | Chip | Plan,
    positions: int,
    *,
    settle_bits: float = 8,
    prompts: int = 4,
    dac: Converter | None = None,
) -> float:
    """p99 of the oracle settling times [s] of `prompts` pieces of the model's calibration text; of fewer than a hundred
    that is between the two slowest.

    machine: mapped from the model with so many positions (its input is the array `embed`); dac: writes its inputs.
    nan, and a warning, where one of them does not settle. Raises Error for prompts outside 1 … 1000.
    """
    checks.made("model", model, Model, "give what load_model returns")
    checks.whole("positions", positions, 1, model.config.context)
    if dac is not None:
        checks.made("dac", dac, Converter, "give what converter('dac_bits', bits) returns, or None")
    settle_bits = checked_bits(settle_bits)
    checks.whole("prompts", prompts, 1, MOST_PROMPTS, f"use a whole number, 1 … {MOST_PROMPTS}")
    plan = machine if isinstance(machine, Plan) else prepare(machine)
    ids = model.tokenize(model.calibration_text, "calibration text")
    ids = [int(i) for i in np.resize(ids, max(len(ids), positions))]  # repeated if too short
    starts = window_starts(len(ids), positions, prompts)
    rows = [converted(dac, plan.circuit, "embed", model.embed(ids[s : s + positions])) for s in starts]
    tolerance = max(min(TOLERANCE, 2.0 ** -(settle_bits + 2)), 16 * float(np.finfo(plan.backend.dtype).eps), 1e-12)
    run = transient(plan, {"embed": np.stack(rows)}, tolerance=tolerance, settle_bits=settle_bits)
    assert run.settling_time is not None
    waits = run.settling_time
    if run.saturated:
        name, count = max(run.saturated.items(), key=lambda item: item[1])
        log.warning(
            "timer: %s on the calibration prompts, most in %r (%d): what they settle to is wrong",
            counted(sum(run.saturated.values()), "node", "saturate"), name, count,
        )  # fmt: skip
    if np.isnan(waits).any():
        log.warning(
            "no timer time: %d of %s not settled to %g bits in %.3g s, last of all %r",
            np.isnan(waits).sum(), counted(prompts, "calibration prompt"), settle_bits, run.duration,
            max(run.by_array, key=run.by_array.__getitem__),
        )  # fmt: skip
        return float("nan")
    log.info(
        "timer: %s after %.4g to %.4g s", counted(prompts, "calibration prompt", "settle"), waits.min(), waits.max()
    )
    return float(np.quantile(waits, QUANTILE))


def converted(quantiser: Converter | None, circuit: Circuit, array: str, x: Array) -> Array:
    """Logical values of an array after its converter, or as they are."""
    return x if quantiser is None else quantiser.nodes(circuit, array, x)
