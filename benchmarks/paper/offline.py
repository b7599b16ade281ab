"""The original: a GPT-2 model fine-tuned by PyTorch on a processor, its attention exact or a truncated series.

The loop is the paper's: AdamW with PyTorch's defaults, the same samples in the same order as the chip's. A series may
sum to nothing where scores leave its positive part. While training, scores act as if at the ends of
SCORES[order] and a penalty pulls them inside, as `tools/train_tiny_shakespeare.py` does for the bundled models; what is
asked afterwards has the series as it stands.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

import dsmachine as ds
from dsmachine.circuits.losses import TARGET
from dsmachine.training import Course
from dsmachine.training_data import Lessons

from .bench import CACHE, POINTS, Found, rounded

Array = Any
Weights = dict[str, torch.Tensor]
PENALTY, MARGIN, TOGETHER = 0.3, 0.2, 32
SCORES = {1: (-0.85, 3.0), 3: (-1.4, 2.8), 5: (-2.0, 3.5), 7: (-2.5, 4.5)}
"""Where the series of exp of each order is positive, and grows as it should, with some room; in nats."""


@dataclass(frozen=True)
class Offline:
    """model: a bundled one, to begin with; order: of the series, None: exact softmax; weights: where it stands."""

    model: Any
    order: int | None
    weights: Weights

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

    def tuned(self, course: Course, rate: float, *, warm: int = 0) -> tuple[Offline, dict[str, list[float]]]:
        """After the steps of a course, and its curve of losses and accuracies. warm: steps in which the rate rises."""
        weights = {n: w.clone().requires_grad_() for n, w in self.weights.items()}
        adamw = torch.optim.AdamW(list(weights.values()), lr=rate)
        found = replace(self, weights=weights)
        every, lost = max(1, course.total // POINTS), []
        curve: dict[str, list[float]] = {"step": [], "loss": [], "accuracy": [], "learnt": []}
        for step in range(course.total):
            for group in adamw.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / max(1, warm))
            rows = course.rows(step)
            logits, penalty = found.logits(torch.tensor(course.lessons.tokens[rows]), confined=True)
            targets = course.lessons.targets(rows, self.model.config.vocabulary)
            loss = _surprise(logits, torch.tensor(targets[TARGET], dtype=torch.float32))
            adamw.zero_grad()
            (loss + PENALTY * penalty).backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
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
        sums, vocabulary = np.zeros(2), self.model.config.vocabulary
        for begin in range(0, len(lessons), TOGETHER):
            rows = np.arange(begin, min(begin + TOGETHER, len(lessons)))
            logits = self.logits(torch.tensor(lessons.tokens[rows]), confined=False)[0].double()
            lost = float(_surprise(logits, torch.tensor(lessons.targets(rows, vocabulary)[TARGET])))
            sums += len(rows) * np.array([lost, lessons.right(rows, logits.numpy())])
        loss, accuracy = (sums / len(lessons)).tolist()
        return {"loss": loss, "accuracy": accuracy}

    def kept(self, name: str) -> Any:
        """The model as a folder in results/.cache, read again."""
        folder = CACHE / "models" / name
        shutil.copytree(Path(ds.__file__).parent / "circuits" / "models" / self.model.name, folder, dirs_exist_ok=True)
        found = {f"transformer.{n}": w.contiguous() for n, w in self.weights.items()}
        save_file(found, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return replace(ds.load_model(folder), calibration_text=self.model.calibration_text)


def begun(model: Any, order: int | None = None) -> Offline:
    """With a model's own weights."""
    return Offline(model, order, {n: torch.tensor(np.array(w)) for n, w in model.tensors.items()})


def _linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _norm(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def _surprise(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Σ target · surprise, the mean over samples and what counts in them."""
    return -(target * functional.log_softmax(logits, -1)).sum()
