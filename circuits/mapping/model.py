"""A model -> Circuit: every activation of every position is a node array, every tensor a term."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..calibration import Ranges, fit_to_devices
from ..cells import machine_of_transistors, with_transistors
from ..checkpoints import Model, as_model
from ..circuit import Circuit
from ..devices.card import DeviceCard
from ..errors import Error, shown
from ..followers import with_followers
from ..loads import load_nodes
from ..reference import calibrate_ranges, forward
from ..technology import Technology, as_technology
from ..words import counted
from . import gpt2, llama, opt
from .activation import ACTIVATIONS
from .attention import check_cell, warn_of_held_scores
from .bank import select_lines
from .builder import Builder

Array = Any
log = logging.getLogger(__name__)
HIGHEST_ORDER = 64
WARNED_BITS = 1.05  # of swing: more than the one bit, to a printed tenth, that an array may lose in silence
SOFTMAXES = ("translinear", "taylor")
SERIES_OF = {"gelu": ("taylor", "paper"), "silu": ("taylor",), "relu": ()}
TOKENS = ("parallel", "serial")
PRECISIONS = ("float64", "float32")
COUPLINGS = ("buffered", "balanced", "passive")
FAMILIES = {"gpt2": gpt2.build, "opt": opt.build, "llama": llama.build}


def map_model(
    model: Model | str | os.PathLike[str],
    positions: int,
    *,
    technology: Technology | str = "cmos45",
    softmax: str | None = None,
    order: int | None = None,
    activation: str = "tanh-pair",
    coupling: str = "buffered",
    input_resistance: float = 0.0,
    leakage: bool = False,
    softmax_clamp: float | None = None,
    softmax_gain: float = 1.0,
    tokens: str = "parallel",
    allow_unstable: bool = False,
    place: int | None = None,
    ranges: Ranges | None = None,
    precision: str = "float64",
    device_card: DeviceCard | None = None,
) -> Circuit:
    """The circuit of `model` for `positions` tokens; its input is `embed` (P, width), its output `logits` (P, V).

    tokens: "parallel": every position has its own nodes. "serial": one set of nodes and couplings for one token after
        another; this is the circuit while it works on the token at `place` (1 …; default: the last), with P = 1, and
        reads keys and values of up to `positions` tokens from banks (`bank.py`), whose capacitors are inputs.

    model: as loaded, or what `load_model` takes: a bundled name or a folder.
    softmax: "translinear" or "taylor" (of `order`, 3); None: what the model was trained with.
    activation: "tanh-pair", "taylor" or "paper".
    coupling: "buffered" (one-sided pairs into a conveyor), "balanced" (pairs of constant sum), or "passive" (plain
        resistors onto the node, which gives up swing and feedback for them; nodes with controlled feedback stay
        buffered).
    input_resistance: r_x [Ω] of every conveyor, 0 for ideal; technology.conveyor.input_resistance is a real one.
    leakage: branches of the translinear softmax leak, technology.softmax.leakage_floor nats under their row's maximum.
    softmax_clamp [nats]: scores are held at ± so much by their nodes' rails; None: at the swing, with a warning.
    softmax_gain: nats that the translinear softmax makes of one; nV_T at calibration over nV_T now, so T_then / T_now.
    allow_unstable: map a Taylor attention whose Σe is not positive on the calibration text, with a warning.
    ranges: what `calibrate` found for the same positions, softmax, order and activation, or that `scaled` to fewer
        units; None: calibrate now.
    precision: of the matrices of couplings, "float64" or "float32": half the memory, and none beside the checkpoint's
        own where no norm is folded into a matrix.
    device_card: of transistors (`characterize`, `load_device`): matrices of weights are built of them, nonlinear as
        they are; what the mapping makes (skips, means, rotations) stays fixed linear devices. With a card that holds
        other cells too, these, all couplings, products and feedback devices follow its transistors. None: all linear.
    Warns of scores beyond the softmax cell, and of nodes that lose more than a bit to couplings beyond the device.
    Raises Error for unknown options, positions beyond the context, Taylor attention on a model that was not trained
    with it and whose Σe is not positive, couplings far beyond the device, and cards that do not fit the technology.
    """
    tech = as_technology(technology)
    model = as_model(model)
    check_known("tokens", tokens, TOKENS)
    check_known("precision", precision, PRECISIONS)
    check_options(
        model, positions, tech, softmax=softmax, order=order, activation=activation, coupling=coupling,
        input_resistance=input_resistance, leakage=leakage, softmax_clamp=softmax_clamp, softmax_gain=softmax_gain,
        device_card=device_card,
    )  # fmt: skip
    if ranges is not None:
        checks.made("ranges", ranges, Ranges, "give what calibrate returns, or leave it out")
    if ranges is None:
        series: dict[str, Any] = {"softmax": softmax, "order": order, "activation": activation}
        ranges = calibrate(model, positions, **series, allow_unstable=allow_unstable)
    softmax, order = resolved(model, positions, softmax, order, activation)
    circuit = Circuit(model.name, temperature=tech.temperature, output="logits")
    at = place_of(tokens, place, positions)
    shared = (softmax, order, activation, coupling, leakage, softmax_clamp, softmax_gain)
    if tokens == "serial":
        b = Builder(circuit, tech, ranges, 1, *shared, place=at, rows=positions, dtype=np.dtype(precision))
    else:
        b = Builder(circuit, tech, ranges, positions, *shared, dtype=np.dtype(precision))
    build(b, model)
    warn_of_held_scores(b)
    circuit, lost_bits = fit_to_devices(load_nodes(circuit, tech), tech)
    _warn_of_lost_bits(lost_bits, tech)
    circuit.notes |= {
        "sizes": model.config.plain(),
        "positions": positions,
        "softmax": softmax if softmax == "translinear" else f"taylor {order}",
        "activation": activation,
        "coupling": coupling,
        "input_resistance": input_resistance,
        "leakage": leakage,
        "softmax_clamp": softmax_clamp,
        "softmax_gain": softmax_gain,
        "scaling": ranges.scaling,
        "tokens": tokens,
        "place": at,
        "technology": tech.name,
        "technology_values": {key: value for key, value, *_ in tech.describe()},
        "lost_bits": lost_bits,
        "score_nats": {n: float(ranges.values[n].max()) for n in circuit.arrays if n.endswith(".score")},
        "device_card": None if device_card is None else device_card.about(),
    }
    if device_card is not None:
        replaced = machine_of_transistors if device_card.cells else with_transistors
        circuit = replaced(circuit, device_card)
    return with_followers(circuit, tech, input_resistance=input_resistance)


def check_options(
    model: Model,
    positions: int,
    technology: Technology,
    *,
    softmax: str | None,
    order: int | None,
    activation: str,
    coupling: str,
    input_resistance: float,
    leakage: bool,
    softmax_clamp: float | None,
    softmax_gain: float,
    device_card: DeviceCard | None,
) -> None:
    """Raises Error for options of `map_model` that it would refuse whatever the model's weights are."""
    check_known("coupling", coupling, COUPLINGS)
    _check_card(device_card, coupling, technology)
    checks.number("input_resistance", input_resistance, "give ohms, 0 (ideal) or more, such as 18", least=0)
    check_cell(resolved(model, positions, softmax, order, activation)[0], leakage, softmax_clamp, softmax_gain)


def build(b: Builder, model: Model) -> None:
    """All arrays and terms of a model."""
    if b.serial:
        select_lines(b)
    b.nodes("embed", (b.positions, model.config.width), clamped=True)
    FAMILIES[model.family](b, model)


def _check_card(card: DeviceCard | None, coupling: str, technology: Technology) -> None:
    """Error, or a warning, for a device card that does not fit the machine that is to be built of it."""
    if card is None:
        return
    checks.made("device_card", card, DeviceCard, "give what characterize returns, or load_device of its file")
    if coupling != "buffered":
        raise Error(f"coupling {coupling!r} is not built of transistors: leave out the device card or use 'buffered'")
    for what, own, given, unit, near in (
        ("temperature", card.temperature, technology.temperature, "K", 0.5),
        ("supply", card.vdd, technology.supply.vdd, "V", 1e-3),
    ):
        if abs(own - given) > near:
            log.warning(
                "the device card was measured at a %s of %.4g %s, the technology has %.4g %s: its transistors stay as "
                "measured", what, own, unit, given, unit,
            )  # fmt: skip


def _warn_of_lost_bits(lost_bits: Mapping[str, float], technology: Technology) -> None:
    """One line where arrays give up more than half of their swing: their noise and offsets weigh as much more."""
    for name, bits in lost_bits.items():
        log.info("%s gives up %.2f bits of its swing: a coupling into it needs all of its device", name, bits)
    worst = max(lost_bits, key=lost_bits.__getitem__, default="")
    if worst and lost_bits[worst] >= WARNED_BITS:
        log.warning(
            "%r loses %.1f bits of its swing (arrays that lose more than one: %d): couplings into it need all of "
            "coupling.g_max, %.3g µS; raise it, or expect that much more noise there",
            worst, lost_bits[worst], sum(bits >= WARNED_BITS for bits in lost_bits.values()),
            technology.coupling.g_max * 1e6,
        )  # fmt: skip


def calibrate(
    model: Model,
    positions: int,
    *,
    softmax: str | None = None,
    order: int | None = None,
    activation: str = "tanh-pair",
    allow_unstable: bool = False,
) -> Ranges:
    """Ranges of every activation on the model's calibration text, (first position, others); options of `map_model`.

    Raises Error for unknown options, no text, and Taylor attention whose Σe is not positive on it.
    """
    softmax, order = resolved(model, positions, softmax, order, activation)
    if not model.calibration_text:
        raise Error(
            f"model {model.name!r} has no calibration text: put some thousand characters into its calibration.txt"
        )
    if softmax == "taylor":
        _check_series(model, positions, order, allow_unstable)
    ids = model.tokenize(model.calibration_text, "calibration text")
    windows = calibration_windows(len(ids), positions)
    log.info("calibration of %s: %s of %s", model.name, counted(windows, "window"), counted(positions, "position"))
    found = calibrate_ranges(
        model,
        model.calibration_text,
        positions,
        windows=windows,
        softmax="exact" if softmax == "translinear" else "taylor",
        order=order,
        activation=None if activation == "tanh-pair" else activation,
        dtype=np.float32,
    )
    return Ranges(found)


def calibration_windows(tokens: int, positions: int) -> int:
    """How many windows, spread evenly over a text of so many tokens, set the ranges."""
    return max(32, tokens // positions)


def resolved(model: Model, positions: int, softmax: str | None, order: int | None, activation: str) -> tuple[str, int]:
    """(softmax, order) as they will be built."""
    context = model.config.context
    checks.whole("positions", positions, 1, context, f"use a whole number, 1 … {context}, the context of {model.name}")
    softmax = softmax if softmax is not None else ("taylor" if model.config.softmax != "exact" else "translinear")
    check_known("softmax", softmax, SOFTMAXES)
    check_known("activation", activation, ACTIVATIONS)
    own = model.config.activation
    if activation not in ("tanh-pair", *SERIES_OF[own]):
        raise Error(f"activation {activation!r} is no way to build the {own} of {model.name!r}: leave it out")
    return softmax, _order(softmax, order)


def place_of(tokens: str, place: int | None, positions: int) -> int:
    """Index of the token that a serial machine works on; 0, that of the first, in a parallel one."""
    if tokens == "parallel":
        if place is not None:
            raise Error(f"place {place!r} would be ignored by tokens 'parallel': leave it out or use tokens 'serial'")
        return 0
    if positions < 2:
        raise Error(f"positions is {positions} of tokens 'serial': the first token is loaded, so give 2 or more")
    fix = f"use a whole number, 1 … {positions - 1}: keys and values of the first token, 0, are loaded"
    return checks.whole("place", positions - 1 if place is None else place, 1, positions - 1, fix)


def check_known(what: str, value: str, known: Sequence[str]) -> None:
    if not checks.among(value, known):
        raise Error(f"{what} {shown(value)} is unknown: use {' or '.join(known)}")


def _check_series(model: Model, positions: int, order: int, allowed: bool) -> None:
    """Error, or a warning where it is allowed, where a truncated exponential sums to nothing or less: its weighted sum
    would divide by it."""
    ids = np.asarray(model.tokenize(model.calibration_text, "calibration text"))
    rows = np.resize(ids, (max(8, min(32, len(ids) // positions)), positions))
    values = forward(model, rows, softmax="taylor", order=order)
    least = min(float(value.min()) for name, value in values.items() if name.endswith(".expsum"))
    if least > 0:
        return
    said = f"Taylor-{order} attention: Σe falls to {least:.3g} on the calibration text of {model.name!r}"
    if not allowed:
        raise Error(
            f"{said}: use softmax 'translinear', or a model fine-tuned with this series, or allow it (allow_unstable)"
        )
    log.warning("%s: feedback cannot go negative, so such rows of attention settle to something else", said)


def _order(softmax: str, order: int | None) -> int:
    """Order of the Taylor series: 3, the paper's, unless given."""
    if order is not None and softmax == "translinear":
        raise Error(f"order {order} would be ignored by softmax 'translinear': leave it out or use softmax 'taylor'")
    return 3 if order is None else checks.whole("order of the Taylor series", order, 1, HIGHEST_ORDER)
