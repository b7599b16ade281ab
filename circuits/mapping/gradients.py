"""From gradients of a circuit's couplings to those of the checkpoint's tensors: what was folded in is taken out.

With W′ = W diag γ and b′ = b + W β (`linear.py`), and G = dL/dW′, h = dL/db′:

    dL/dW = G diag γ + h βᵀ,    dL/dγ = Σ_out G ∘ W,    dL/dβ = Wᵀ h,    dL/db = h

Rows of the token embedding collect dL/dx of the input nodes, besides what the head gives where it is the same tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import checks
from ..checkpoints import Model
from ..circuit import Circuit
from ..errors import Error
from ..families import FAMILIES
from .linear import linear, tensor

Array = Any


def tensor_gradients(
    model: Model, circuit: Circuit, terms: Mapping[str, Array], embedding: Array, tokens: Array
) -> dict[str, Array]:
    """Gradient of every tensor of `model`, by its name and in its shape, float64.

    circuit: the model's, as mapped (parallel); terms: gradients of its couplings and biases by term; embedding: of its
    input nodes, (batch, P, width); tokens: (P,) or (batch, P) that they stand for.
    Raises Error for a circuit that is not the model's, and for a model without learned embedding rows for the tokens.
    """
    checks.made("model", model, Model, "give what load_model returns")
    checks.made("circuit", circuit, Circuit, "give a Circuit; that of a chip is its .circuit")
    terms = checks.mapping("terms", terms, "give gradients by term, those of ds.gradients(…).terms")
    ids = np.atleast_2d(model.checked_ids(tokens))
    rows = checks.values("embedding", embedding)
    if np.shape(rows)[-2:] != (ids.shape[-1], model.config.width) or np.ndim(rows) != 3:
        raise Error(
            f"embedding has shape {np.shape(rows)}: give (batch, {ids.shape[-1]}, {model.config.width}), a row a token"
        )
    found: dict[str, Array] = {}
    for term, how in _mapped(model, circuit).items():
        if term not in terms:
            raise Error(f"terms have no {term!r}: give those of ds.gradients on the circuit of this model")
        weight, bias = linear(model.tensors, term, transposed=how["transposed"])
        each = terms[term]
        if how["norm"] is not None:
            each = _unfolded(model, how["norm"], weight, each, terms.get(f"{term}.bias"), found)
        _add(found, f"{term}.weight", each.T if how["transposed"] else each)
        if bias is not None:
            _add(found, f"{term}.bias", terms[f"{term}.bias"])
    _embedded(model, rows, ids, found)
    return found


def folded_gains(model: Model, circuit: Circuit) -> dict[str, Array]:
    """γ (in,) that was folded into the columns of matrices of `circuit`, by term, float64.

    Raises Error for a circuit that is not the model's.
    """
    norms = {term: how["norm"] for term, how in _mapped(model, circuit).items() if how["norm"] is not None}
    return {term: np.asarray(model.tensors[f"{norm}.weight"], np.float64) for term, norm in norms.items()}


def _mapped(model: Model, circuit: Circuit) -> Mapping[str, Any]:
    mapped: Mapping[str, Any] = circuit.notes.get("tensors", {})
    if not mapped or not all(f"{term}.weight" in model.tensors for term in mapped):
        raise Error(f"circuit {circuit.name!r} is not mapped from {model.name!r}: pass the one map_model made of it")
    return mapped


def _unfolded(model: Model, norm: str, weight: Array, each: Array, of_bias: Array | None, found: Any) -> Array:
    """dL/dW from dL/dW′; adds what falls to the norm."""
    gain, shift = tensor(model.tensors, f"{norm}.weight"), tensor(model.tensors, f"{norm}.bias")
    _add(found, f"{norm}.weight", (each * weight).sum(axis=0))
    unfolded = each * gain
    if shift is not None and of_bias is not None:
        _add(found, f"{norm}.bias", of_bias @ weight)
        unfolded += np.outer(of_bias, shift)
    return unfolded


def _embedded(model: Model, embedding: Array, tokens: Array, found: dict[str, Array]) -> None:
    family = FAMILIES[model.family]
    shape = model.tensors[f"{family.token}.weight"].shape
    rows = np.zeros(shape)
    np.add.at(rows, tokens, np.broadcast_to(embedding, (*tokens.shape, shape[-1])))
    _add(found, f"{family.token}.weight", rows)
    if family.position is not None:
        name, first = family.position
        places = np.zeros(model.tensors[f"{name}.weight"].shape)
        places[first : first + np.shape(embedding)[1]] = embedding.sum(axis=0)
        _add(found, f"{name}.weight", places)


def _add(found: dict[str, Array], name: str, value: Array) -> None:
    found[name] = found[name] + value if name in found else value
