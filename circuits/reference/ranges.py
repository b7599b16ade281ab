"""Largest |value| of every activation over a text: what a circuit's voltages are set by."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..checkpoints import Model
from ..errors import Error
from ..tokens import window_starts
from ..words import counted
from .forward import one_pass
from .parts import Array

log = logging.getLogger(__name__)
PER_PAIR = (".score", ".prob", ".exp")  # arrays over query and key positions, (H, P, P)
VOCABULARY_SEEN = 4096  # tokens tried at the first position; one that was not can put a node there on its rail
SINK = 16.0  # ordinary positions of language models stay within 2 of their median, sinks reach 30 to 200
VALUES_TOGETHER = 2**23  # in the largest array that is held at a time


def calibrate_ranges(
    model: Model,
    text: str | None = None,
    positions: int | None = None,
    *,
    softmax: str | None = None,
    order: int = 3,
    activation: str | None = None,
    windows: int = 32,
    dtype: DTypeLike = np.float64,
) -> dict[str, Array]:
    """Largest |value| of every activation over a text, the first position apart from the rest.

    The first position of a language model can be far larger than the others (attention sink), and
    it depends on its own token alone; every token of a small vocabulary, else every token of the
    text (4,096 at most), is tried there. Later positions that behave like it (a norm's root beyond
    `SINK` times their median: a repetition of the first token, say) are left out.

    Args:
        model: a model of the GPT-2, OPT or Llama family.
        text: calibration text; default: the model's own. Repeated when it is too short.
        positions: length of a window, 1 to context (default).
        softmax, order, activation, dtype: as for `forward`.
        windows: how many windows, spread evenly over the text.

    Returns:
        Name → array (2, …): index 0 the first position, index 1 the rest (the same as index 0 when
        `positions` is 1). The rest of the shape is the array's without its position axes: (2, d)
        for (P, d), (2, H) for (H, P, P), (2, H, 1) for (P, H, 1).

    Raises:
        Error: no text, a character outside the tokenizer, positions or windows out of range.
    """
    positions = model.config.context if positions is None else positions
    if not 1 <= positions <= model.config.context or windows < 1:
        raise Error(
            f"calibration over {windows} windows of {positions} positions: use 1 to "
            f"{model.config.context} positions and at least one window"
        )
    ids = np.asarray(model.tokenize(model.calibration_text if text is None else text, "calibration text"))
    ranges: dict[str, Array] = {}
    options = {"softmax": softmax, "order": order, "activation": activation, "dtype": dtype}
    firsts = _first_tokens(model, ids)[:, None]
    for rows in (firsts,) if positions == 1 else (firsts, _windows(ids, positions, windows)):
        together = max(1, VALUES_TOGETHER // _largest_array(model, rows.shape[1]))
        for begin in range(0, len(rows), together):
            for name, seen in _seen(model, rows[begin : begin + together], options).items():
                ranges[name] = np.maximum(ranges[name], seen) if name in ranges else seen
    if positions == 1:
        for value in ranges.values():
            value[1] = value[0]
    return ranges


def _seen(model: Model, rows: Array, options: dict[str, Any]) -> dict[str, Array]:
    """(2, …) of every activation over some windows, without later positions that turn out to be sinks."""
    sinks = np.zeros(rows.shape, bool)
    while True:
        seen: dict[str, Array] = {}
        found = sinks.copy()

        def record(
            name: str, value: Array, seen: dict[str, Array] = seen, sinks: Array = sinks, found: Array = found
        ) -> None:
            size = np.abs(value)
            if name.endswith(".root"):
                found[:, 1:] |= size[:, 1:, 0] > SINK * np.median(size[:, 1:] if size.shape[1] > 1 else size)
            seen[name] = _first_and_rest(_by_position(name, _without(name, size, sinks)))

        one_pass(model, record, **options)(rows)
        if (found == sinks).all():
            return seen
        log.info(
            "left out as sinks after the first: %d of %s", found.sum(), counted(found.size, "calibration position")
        )
        sinks = found


def _without(name: str, value: Array, sinks: Array) -> Array:
    """`value` with the positions (batch, P) in `sinks` set to 0."""
    if not sinks.any():
        return value
    axis = -2 if name.endswith(PER_PAIR) or value.ndim == 3 else -3
    gone = sinks.reshape(len(sinks), *(1,) * (value.ndim + axis - 1), -1, *(1,) * (-axis - 1))
    return np.where(gone, 0, value)


def _largest_array(model: Model, positions: int) -> int:
    """Values in the largest activation of one window."""
    config = model.config
    return positions * max(config.heads * positions, config.vocabulary, config.inner)


def _first_tokens(model: Model, ids: Array) -> Array:
    """Tokens to try at the first position, at most `VOCABULARY_SEEN`."""
    if model.config.vocabulary <= VOCABULARY_SEEN:
        return np.arange(model.config.vocabulary)
    return np.unique(ids)[:VOCABULARY_SEEN]


def _windows(ids: Array, positions: int, windows: int) -> Array:
    """(≤ windows, positions) pieces spread evenly over a text, which is repeated if too short."""
    ids = np.resize(ids, max(len(ids), positions))
    count = min(windows, len(ids) - positions + 1)
    starts = window_starts(len(ids), positions, count)
    return np.asarray(ids[starts[:, None] + np.arange(positions)])


def _first_and_rest(value: Array) -> Array:
    """(P, …) → (2, …): the first position, and the largest of the others (0 where there are none)."""
    return np.stack([value[0], value[1:].max(0, initial=0)])


def _by_position(name: str, value: Array) -> Array:
    """max over batch and keys, the position axis moved to the front."""
    if name.endswith(PER_PAIR):  # (…, H, P, P) → (…, P, H)
        value = np.swapaxes(value.max(-1), -1, -2)
        rank = 2
    else:
        rank = 3 if name.endswith(".expsum") else 2
    return np.asarray(value.max(0) if value.ndim > rank else value)
