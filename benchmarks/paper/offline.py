"""The original: a model fine-tuned by PyTorch; of GPT-2 with attention exact or a truncated series.

The loop is the paper's: AdamW with PyTorch's defaults, the same samples in the same order as the chip's. A series may
sum to nothing where scores leave its positive part. While training, scores act as if at the ends of
SCORES[order] and a penalty pulls them inside, as `tools/train_tiny_shakespeare.py` does for the bundled models; what is
asked afterwards has the series as it stands.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from dsmachine.circuits.losses import TARGET
from dsmachine.training import Course
from dsmachine.training_data import Lessons

from .bench import POINTS, Found, rounded

Array = Any
Weights = dict[str, torch.Tensor]
PENALTY, MARGIN, TOGETHER = 0.3, 0.2, 32
CLIP = 1.0  # largest norm of all gradients together
SCORES = {1: (-0.85, 3.0), 3: (-1.4, 2.8), 5: (-2.0, 3.5), 7: (-2.5, 4.5)}
"""Where the series of exp of each order is positive, and grows as it should, with some room; in nats."""


class Tensors(dict[str, Array]):
    """A model's tensors, in memory."""

    def rows(self, name: str, index: Array) -> Array:
        """tensor[index] of a matrix."""
        return self[name][index]


@dataclass(frozen=True)
class Offline:
    """model: to begin with; order: of the series, None: exact softmax; weights: where it stands, on `place`."""

    model: Any
    order: int | None
    weights: Weights
    place: str = "cpu"

    def logits(self, tokens: torch.Tensor, confined: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits (K, P, V), penalty on scores outside) of tokens (K, P)."""
        weights = self.weights
        x = weights["wte.weight"][tokens] + weights["wpe.weight"][: tokens.shape[1]]
        penalty = x.new_zeros(())
        for k in range(self.model.config.layers):
            one = {n.removeprefix(f"h.{k}."): w for n, w in weights.items() if n.startswith(f"h.{k}.")}
            context, outside = self._attention(one, _norm(x, one, "ln_1"), confined)
            x, penalty = x + context, penalty + outside
            act = functional.gelu(_linear(_norm(x, one, "ln_2"), one, "mlp.c_fc"), approximate="tanh")
            x = x + _linear(act, one, "mlp.c_proj")
        return _norm(x, weights, "ln_f") @ weights["wte.weight"].T, penalty

    def _attention(self, one: Weights, x: torch.Tensor, confined: bool) -> tuple[torch.Tensor, torch.Tensor]:
        heads = self.model.config.heads
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in _linear(x, one, "attn.c_attn").split(x.shape[-1], -1)
        )
        score = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        mask = torch.ones(score.shape[-2:], dtype=torch.bool).tril()
        penalty = score.new_zeros(())
        if self.order is None:
            shares = score.masked_fill(~mask, -math.inf).softmax(-1)
        else:
            low, high = SCORES[self.order]
            if confined:
                e = (functional.relu(low + MARGIN - score) + functional.relu(score - high + MARGIN)) * mask / MARGIN
                penalty = (e.square() + e).sum(-1).mean() + e.amax((-2, -1)).square().mean()
                score = score.clamp(low, high)
            e = sum(score**n / math.factorial(n) for n in range(self.order + 1)) * mask
            shares = e / e.sum(-1, keepdim=True)
        return _linear((shares @ v).transpose(1, 2).flatten(-2), one, "attn.c_proj"), penalty

    def tuned(
        self, course: Course, rate: float, *, warm: int = 0, points: int = POINTS
    ) -> tuple[Offline, dict[str, list[float]]]:
        """After the steps of a course, and its curve of losses and accuracies. warm: steps in which the rate rises."""
        weights = {n: w.clone().requires_grad_() for n, w in self.weights.items()}
        adamw = torch.optim.AdamW(list(weights.values()), lr=rate)
        found = replace(self, weights=weights)
        every, lost = max(1, course.total // points), []
        curve: dict[str, list[float]] = {"step": [], "loss": [], "accuracy": [], "learnt": []}
        for step in range(course.total):
            for group in adamw.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / max(1, warm))
            rows = course.rows(step)
            tokens = torch.tensor(course.lessons.tokens[rows], device=self.place)
            logits, penalty = found.logits(tokens, confined=True)
            targets = course.lessons.targets(rows, self.model.config.vocabulary, self.xp)
            loss = _surprise(logits, torch.from_dlpack(targets[TARGET]).float())
            adamw.zero_grad()
            (loss + PENALTY * penalty).backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), CLIP)
            adamw.step()
            lost.append(float(loss.detach()))
            if (step + 1) % every == 0 and course.held_out is not None:
                told = found.read(course.held_out) | {"step": step + 1, "learnt": float(np.mean(lost[-every:]))}
                for name, value in told.items():
                    curve[name].append(value if name == "step" else rounded(value))
        return replace(self, weights={n: w.detach() for n, w in weights.items()}), curve

    @torch.no_grad()
    def read(self, lessons: Lessons) -> Found:
        """{"loss", "accuracy"} in float32, mean over samples."""

        def logits(rows: Array) -> Array:
            tokens = torch.tensor(lessons.tokens[rows], device=self.place)
            return self.xp.from_dlpack(self.logits(tokens, confined=False)[0])

        return lessons.read(TOGETHER, logits)

    @property
    def xp(self) -> Any:
        """The module whose arrays stand where the weights do."""
        return np if self.place == "cpu" else importlib.import_module("cupy")

    @property
    def kept(self) -> Any:
        """The model with these weights."""
        return replace(self.model, tensors=Tensors({n: w.numpy(force=True) for n, w in self.weights.items()}))


@dataclass(frozen=True)
class OfflineLlama(Offline):
    """net: transformers' model of these sizes, whose own weights are not used."""

    net: Any = None

    def logits(self, tokens: torch.Tensor, confined: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """As of `Offline`: its attention is exact, so nothing is outside."""
        weights = {f"model.{name}": weight for name, weight in self.weights.items()}
        found = torch.func.functional_call(self.net, weights, (tokens,)).logits
        return found, found.new_zeros(())


def begun(model: Any, order: int | None = None) -> Offline:
    """A GPT-2 model with its own weights."""
    return Offline(model, order, _weights(model, "cpu"))


def begun_llama(model: Any, place: str) -> OfflineLlama:
    """A Llama model, its head tied to its embedding, with its own weights, on a device of PyTorch's."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = model.config
    shape = LlamaConfig(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_width, max_position_embeddings=sizes.context, rms_norm_eps=sizes.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope.base}, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device(place):
        net = LlamaForCausalLM(shape).eval()
    return OfflineLlama(model, None, _weights(model, place), place, net)


def _weights(model: Any, place: str) -> Weights:
    return {name: torch.tensor(np.array(weight), device=place) for name, weight in model.tensors.items()}


def _linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _norm(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def _surprise(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Σ target · surprise, the mean over samples and what counts in them."""
    return -(target * functional.log_softmax(logits, -1)).sum()
