"""The digital reference: a plain NumPy forward pass of GPT-2 with every activation named.

Calibration reads it and `logit_error` is measured against it, so it shares no code with the
mapping. Position axis P, width d, heads H, head width d/H, vocabulary V; tokens may carry a batch
axis in front, which every array then has too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .checkpoints import Model
from .errors import Error
from .tensorfile import shown

Array = NDArray[Any]
ROOT_2_PI = math.sqrt(2 / math.pi)
ACTIVATIONS = ("gelu", "taylor", "paper", "relu")
SOFTMAXES = ("exact", "taylor")
PER_PAIR = (".score", ".prob", ".exp")  # arrays over query and key positions, (H, P, P)
VOCABULARY_SEEN = 512  # tokens tried at the first position by `calibrate_ranges`
PAIRS_TOGETHER = 2**19  # scores held at a time by `calibrate_ranges`


def forward(
    model: Model,
    tokens: ArrayLike,
    *,
    softmax: str | None = None,
    order: int = 3,
    activation: str | None = None,
    dtype: DTypeLike = np.float64,
) -> dict[str, Array]:
    """Every activation of the model, by name, in the order of computation.

    For each layer i, with h = ``h.i``::

        h.ln_1.mean (P, 1)   diff (P, d)   root = √(variance + ε) (P, 1)   norm = diff/root (P, d)
        h.attn.qkv (P, 3d)   h.attn.score = q·k/√(d/H) (H, P, P)
        h.attn.prob (H, P, P), or for Taylor h.attn.exp (H, P, P) and h.attn.expsum (P, H, 1)
        h.attn.context (P, d)   h.resid_mid (P, d)   h.ln_2.… as h.ln_1
        h.mlp.pre (P, 4d)   h.mlp.act (P, 4d)   h.resid (P, d)

    after ``embed`` (P, d) and before ``ln_f.…`` and ``logits`` (P, V). Pairs with the key after the
    query do not exist; their entries are 0. ``norm`` is before gain and bias. Between ``pre`` and
    ``act`` stand the intermediates of the activation:

    ========== ========================================================= ======================
    gelu       x(1 + tanh a)/2, a = √(2/π)(x + 0.044715 x³)              square = x², arg, tanh
    taylor     tanh a ≈ a − a³/3 + 2a⁵/15                                + arg2, arg3, arg5
    paper      the DS-LLM paper as printed: a halved, tanh ≈ a − a³/3 + a⁵/5  the same
    relu       max(x, 0)                                                 none
    ========== ========================================================= ======================

    Args:
        model: a GPT-2-architecture model.
        tokens: ids, shape (P,) or (batch, P), 1 ≤ P ≤ context.
        softmax: ``"exact"``, or ``"taylor"``: Σₖ sᵏ/k! up to `order`, over its row sum. Default: as
            the model was trained (then of order 3).
        activation: as in the table. Default: the model's own.
        dtype: of all arithmetic.

    Raises:
        Error: tokens outside the vocabulary or the context; unknown option.
    """
    ids = _checked_tokens(model, tokens)
    softmax = softmax or ("taylor" if model.config.softmax == "taylor3" else "exact")
    activation = activation or model.config.activation
    _check_options(softmax, order, activation)
    weights = {n: np.asarray(model.tensors[n], dtype) for n in model.tensors if _used(n)}
    out: dict[str, Array] = {}
    x = weights["wte.weight"][ids] + weights["wpe.weight"][: ids.shape[-1]]
    out["embed"] = x
    for layer in range(model.config.layers):
        h = f"h.{layer}"
        y = _layer_norm(out, f"{h}.ln_1", x, weights, model.config.epsilon)
        qkv = _linear(f"{h}.attn.c_attn", y, weights)
        out[f"{h}.attn.qkv"] = qkv
        context = _attention(out, f"{h}.attn", qkv, model.config.heads, softmax, order)
        x = x + _linear(f"{h}.attn.c_proj", context, weights)
        out[f"{h}.resid_mid"] = x
        y = _layer_norm(out, f"{h}.ln_2", x, weights, model.config.epsilon)
        pre = _linear(f"{h}.mlp.c_fc", y, weights)
        x = x + _linear(f"{h}.mlp.c_proj", _activate(out, f"{h}.mlp", pre, activation), weights)
        out[f"{h}.resid"] = x
    y = _layer_norm(out, "ln_f", x, weights, model.config.epsilon)
    out["logits"] = y @ weights["wte.weight"].T
    return out


def loss(logits: ArrayLike, tokens: ArrayLike) -> float:
    """Mean negative log-likelihood, in nats, of each token after the first.

    Args:
        logits: (P, V), row p predicts token p + 1.
        tokens: (P,) ids.
    """
    rows, ids = np.asarray(logits, np.float64)[:-1], np.asarray(tokens)[1:]
    if not len(ids):
        raise Error("loss of 1 token is undefined: give at least two")
    peak = rows.max(-1)
    normaliser = peak + np.log(np.exp(rows - peak[:, None]).sum(-1))
    return float((normaliser - rows[np.arange(len(ids)), ids]).mean())


def perplexity(logits: ArrayLike, tokens: ArrayLike) -> float:
    """exp of `loss`: (P, V) logits and the (P,) tokens they came from."""
    return math.exp(loss(logits, tokens))


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
    text, is tried there.

    Args:
        model: a GPT-2-architecture model.
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
    options: dict[str, Any] = {
        "softmax": softmax,
        "order": order,
        "activation": activation,
        "dtype": dtype,
    }
    first = _largest(forward(model, _first_tokens(model, ids)[:, None], **options))
    ranges = {name: np.stack([value[0], value[0]]) for name, value in first.items()}
    if positions == 1:
        return ranges
    for value in ranges.values():
        value[1] = 0
    batch = max(1, PAIRS_TOGETHER // (model.config.heads * positions**2))
    chosen = _windows(ids, positions, windows)
    for begin in range(0, len(chosen), batch):
        seen = _largest(forward(model, chosen[begin : begin + batch], **options))
        for name, value in seen.items():
            ranges[name][0] = np.maximum(ranges[name][0], value[0])
            ranges[name][1] = np.maximum(ranges[name][1], value[1:].max(0))
    return ranges


# ---- parts ----------------------------------------------------------------------------------


def _layer_norm(out: dict[str, Array], name: str, x: Array, weights: dict[str, Array], epsilon: float) -> Array:
    """(x − mean)/√(variance + ε), recorded, then gain and bias, returned."""
    mean = x.mean(-1, keepdims=True)
    diff = x - mean
    root = np.sqrt((diff * diff).mean(-1, keepdims=True) + epsilon)
    norm = diff / root
    out |= {f"{name}.mean": mean, f"{name}.diff": diff, f"{name}.root": root, f"{name}.norm": norm}
    return np.asarray(norm * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def _linear(name: str, x: Array, weights: dict[str, Array]) -> Array:
    """x W + b, W stored (inputs, outputs); one product for the whole batch."""
    weight = weights[f"{name}.weight"]
    y = x.reshape(-1, len(weight)) @ weight + weights[f"{name}.bias"]
    return np.asarray(y.reshape(*x.shape[:-1], -1))


def _attention(out: dict[str, Array], name: str, qkv: Array, heads: int, softmax: str, order: int) -> Array:
    """Causal attention (…, P, 3d) → (…, P, d)."""
    *batch, positions, triple = qkv.shape
    width = triple // 3
    split = qkv.reshape(*batch, positions, 3, heads, width // heads)
    q, k, v = (np.swapaxes(split[..., part, :, :], -2, -3) for part in range(3))  # (…, H, P, d/H)
    mask = np.tri(positions, dtype=bool)
    score = np.where(mask, q @ np.swapaxes(k, -1, -2) / math.sqrt(width // heads), 0)
    out[f"{name}.score"] = score
    if softmax == "exact":
        weight = _softmax(score, mask)
        out[f"{name}.prob"] = weight
        context = weight @ v
    else:
        series = np.where(mask, _exp_series(score, order), 0)
        total = series.sum(-1, keepdims=True)
        out[f"{name}.exp"] = series
        out[f"{name}.expsum"] = np.swapaxes(total, -2, -3)
        context = series @ v / total
    context = np.swapaxes(context, -2, -3).reshape(*batch, positions, width)
    out[f"{name}.context"] = context
    return context


def _softmax(score: Array, mask: Array) -> Array:
    """Exact softmax over the last axis, 0 where `mask` is false."""
    peak = np.where(mask, score, -np.inf).max(-1, keepdims=True)
    weight = np.where(mask, np.exp(np.minimum(score - peak, 0)), 0)
    return np.asarray(weight / weight.sum(-1, keepdims=True))


def _exp_series(score: Array, order: int) -> Array:
    """Σₖ sᵏ/k!, k = 0 … order, by Horner's rule."""
    total = np.ones_like(score)
    for k in range(order, 0, -1):
        total = 1 + score * total / k
    return total


def _activate(out: dict[str, Array], name: str, x: Array, activation: str) -> Array:
    """The MLP's activation, its intermediates recorded between ``pre`` and ``act``."""
    out[f"{name}.pre"] = x
    if activation == "relu":
        y = np.maximum(x, 0)
    else:
        square = x * x
        arg = ROOT_2_PI * (x + 0.044715 * square * x)
        if activation == "paper":
            arg = arg / 2
        out |= {f"{name}.square": square, f"{name}.arg": arg}
        y = 0.5 * x * (1 + _tanh(out, name, arg, activation))
    out[f"{name}.act"] = y
    return y


def _tanh(out: dict[str, Array], name: str, arg: Array, activation: str) -> Array:
    """tanh, or its series to fifth order with the coefficient of `activation`."""
    if activation == "gelu":
        value = np.tanh(arg)
    else:
        arg2 = arg * arg
        arg3 = arg2 * arg
        arg5 = arg3 * arg2
        out |= {f"{name}.arg2": arg2, f"{name}.arg3": arg3, f"{name}.arg5": arg5}
        value = arg - arg3 / 3 + (2 / 15 if activation == "taylor" else 1 / 5) * arg5
    out[f"{name}.tanh"] = value
    return value


# ---- helpers --------------------------------------------------------------------------------


def _used(name: str) -> bool:
    """Whether a stored tensor is one of the model's (old checkpoints also store masks)."""
    return name.split(".")[0] in ("wte", "wpe", "h", "ln_f") and not name.endswith((".attn.bias", ".attn.masked_bias"))


def _checked_tokens(model: Model, tokens: ArrayLike) -> NDArray[np.intp]:
    ids = np.asarray(tokens)
    if ids.ndim not in (1, 2) or not ids.size or ids.dtype.kind not in "iu":
        raise Error(f"tokens {shown(tokens)} are no ids: give at least one whole number")
    if ids.shape[-1] > model.config.context:
        raise Error(f"{ids.shape[-1]} tokens exceed the context of {model.name}: give at most {model.config.context}")
    outside = ids[(ids < 0) | (ids >= model.config.vocabulary)]
    if outside.size:
        raise Error(f"token {outside[0]} is outside the vocabulary: use 0 to {model.config.vocabulary - 1}")
    return ids.astype(np.intp)


def _check_options(softmax: str, order: int, activation: str) -> None:
    if softmax not in SOFTMAXES:
        raise Error(f"softmax {shown(softmax)} is unknown: use {' or '.join(SOFTMAXES)}")
    if activation not in ACTIVATIONS:
        raise Error(f"activation {shown(activation)} is unknown: use {', '.join(ACTIVATIONS)}")
    if order < 1:
        raise Error(f"order {order} of the series is too low: use 1 or more")


def _first_tokens(model: Model, ids: Array) -> Array:
    """Tokens to try at the first position, at most `VOCABULARY_SEEN`."""
    if model.config.vocabulary <= VOCABULARY_SEEN:
        return np.arange(model.config.vocabulary)
    return np.unique(ids)[:VOCABULARY_SEEN]


def _windows(ids: Array, positions: int, windows: int) -> Array:
    """(≤ windows, positions) pieces spread evenly over a text, which is repeated if too short."""
    ids = np.resize(ids, max(len(ids), positions))
    count = min(windows, len(ids) - positions + 1)
    starts = np.linspace(0, len(ids) - positions, count).astype(int)
    return np.asarray(ids[starts[:, None] + np.arange(positions)])


def _largest(values: dict[str, Array]) -> dict[str, Array]:
    """max|value| over batch and keys, the position axis moved to the front."""
    return {name: _by_position(name, np.abs(value)) for name, value in values.items()}


def _by_position(name: str, value: Array) -> Array:
    if name.endswith(PER_PAIR):  # (…, H, P, P) → (…, P, H)
        value = np.swapaxes(value.max(-1), -1, -2)
        rank = 2
    else:
        rank = 3 if name.endswith(".expsum") else 2
    return np.asarray(value.max(0) if value.ndim > rank else value)
