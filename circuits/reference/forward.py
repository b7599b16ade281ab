"""One forward pass of a model, and the options that it takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checkpoints import Model
from ..errors import Error, shown
from . import gpt2, llama, opt
from .parts import Array, Pass

FAMILIES: dict[str, Callable[[Pass, NDArray[np.intp]], None]] = {"gpt2": gpt2.run, "opt": opt.run, "llama": llama.run}
SOFTMAXES = ("exact", "taylor")
# The model's own activation, then what may stand in for it.
ACTIVATIONS = {"gelu": ("gelu", "taylor", "paper"), "silu": ("silu", "taylor"), "relu": ("relu",)}


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

    GPT-2, for each layer i, with h = ``h.i``::

        h.ln_1.mean (P, 1)   diff (P, d)   root = √(variance + ε) (P, 1)   norm = diff/root (P, d)
        h.attn.qkv (P, 3d)   h.attn.score = q·k/√dh (H, P, P)
        h.attn.prob (H, P, P), or for Taylor h.attn.exp (H, P, P) and h.attn.expsum (P, H, 1)
        h.attn.context (P, d)   h.resid_mid (P, d)   h.ln_2.… as h.ln_1
        h.mlp.pre (P, I)   h.mlp.act (P, I)   h.resid (P, d)

    after ``embed`` (P, d) and before ``ln_f.…`` and ``logits`` (P, V). Pairs with the key after the
    query do not exist; their entries are 0. ``norm`` is before gain and bias.

    OPT, with h = ``layers.i``: ``h.self_attn_layer_norm.…`` and ``h.final_layer_norm.…`` in place of ln_1 and ln_2,
    ``h.attn.q``, ``h.attn.k``, ``h.attn.v`` (P, d) in place of qkv, and ``final_layer_norm.…`` in place of ln_f.

    Llama, with h = ``layers.i``::

        h.input_layernorm.root = √(mean x² + ε) (P, 1)   norm = x/root (P, d)
        h.attn.q (P, H·dh)   h.attn.k, h.attn.v (P, KV·dh)   h.attn.q_rope, h.attn.k_rope   h.attn.score … as above
        h.attn.context (P, H·dh)   h.resid_mid (P, d)   h.post_attention_layernorm.… as h.input_layernorm
        h.mlp.gate, h.mlp.up (P, I)   h.mlp.silu   h.mlp.act = silu·up   h.resid (P, d)

    after ``embed`` and before ``norm.root``, ``norm.norm`` and ``logits``. Before ``act`` stand the intermediates of
    the activation of x = ``pre`` or ``gate``:

    ========== ========================================================= ======================
    gelu       x(1 + tanh a)/2, a = √(2/π)(x + 0.044715 x³)              square = x², arg = a, tanh
    silu       x(1 + tanh a)/2, a = x/2                                  arg = a, tanh
    taylor     either, with tanh a ≈ a − a³/3 + 2a⁵/15                   + arg2, arg3, arg5
    paper      gelu as the DS-LLM paper prints it: a halved, tanh ≈ a − a³/3 + a⁵/5  the same
    relu       max(x, 0)                                                 none
    ========== ========================================================= ======================

    Args:
        model: a model of the GPT-2, OPT or Llama family.
        tokens: ids, shape (P,) or (batch, P), 1 ≤ P ≤ context.
        softmax: ``"exact"``, or ``"taylor"``: Σₖ sᵏ/k! up to `order`, over its row sum. Default: as
            the model was trained (then of order 3).
        activation: the model's own (default), ``"taylor"`` of gelu or silu, ``"paper"`` of gelu.
        dtype: of all arithmetic.

    Raises:
        Error: tokens outside the vocabulary or the context; unknown option.
    """
    out: dict[str, Array] = {}
    ids = model.checked_ids(tokens)
    one_pass(model, out.__setitem__, softmax=softmax, order=order, activation=activation, dtype=dtype)(ids)
    return out


def one_pass(
    model: Model,
    record: Callable[[str, Array], None],
    *,
    softmax: str | None,
    order: int,
    activation: str | None,
    dtype: DTypeLike,
) -> Callable[[NDArray[np.intp]], None]:
    """Tokens → nothing, every activation shown to `record` and then forgotten; options of `forward`."""
    softmax = softmax or ("taylor" if model.config.softmax == "taylor3" else "exact")
    activation = activation or model.config.activation
    _check_options(model, softmax, order, activation)
    work = Pass(model.config, model.tensors, record, softmax, order, activation, np.dtype(dtype))
    return lambda ids: FAMILIES[model.family](work, ids)


def _check_options(model: Model, softmax: str, order: int, activation: str) -> None:
    if softmax not in SOFTMAXES:
        raise Error(f"softmax {shown(softmax)} is unknown: use {' or '.join(SOFTMAXES)}")
    known = ACTIVATIONS[model.config.activation]
    if activation not in known:
        raise Error(f"activation {shown(activation)} is none of {model.name}'s: use {' or '.join(known)}")
    if order < 1:
        raise Error(f"order {order} of the series is too low: use 1 or more")
