"""The model that `train_tiny_shakespeare.py` trains: GPT-2 architecture with attention scores that stay in bounds.

Circuits hold a limited range of voltages. A penalty keeps the scores inside `LIMITS`, another keeps residual stream and
MLP pre-activations free of massive values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from tiny_shakespeare_text import ALPHABET
from torch import Tensor, nn
from torch.nn import functional

SCORE_EXACT = 9.0  # nats, for ordinary softmax
RESIDUAL_FREE, PRE_FREE = 8.0, 6.0  # |residual| and |MLP pre-activation| up to here cost nothing


@dataclass(frozen=True)
class Limits:
    """Where attention scores shall stay; the penalty begins `margin` inside, for unseen text."""

    low: float
    high: float
    margin: float

    def penalty(self, score: Tensor, mask: Tensor) -> Tensor:
        """Row sums of e + e² and each sequence's largest e², e the excess in units of the margin."""
        low, high = self.low + self.margin, self.high - self.margin
        outside = (functional.relu(low - score) + functional.relu(score - high)) * mask / self.margin
        return (outside.square() + outside).sum(-1).mean() + outside.amax((-2, -1)).square().mean()


# Taylor-3 of exp is positive from −1.596 on.
LIMITS = {"exact": Limits(-SCORE_EXACT, SCORE_EXACT, 1.0), "taylor3": Limits(-1.4, 2.8, 0.3)}


@dataclass(frozen=True)
class Shape:
    """Sizes of a GPT-2-architecture model."""

    layers: int = 3
    width: int = 64
    heads: int = 4
    context: int = 128


class Conv1D(nn.Module):
    """y = x W + b with W stored (inputs, outputs), as GPT-2 checkpoints do."""

    def __init__(self, inputs: int, outputs: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * std)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@dataclass
class Statistics:
    """Extremes of scores s, numerators e, row sums Σe and activations over everything seen."""

    score_min: float = math.inf
    score_max: float = -math.inf
    exp_min: float = math.inf
    expsum_min: float = math.inf
    residual_peak: dict[str, float] = field(default_factory=lambda: {"first": 0.0, "rest": 0.0})
    pre_peak: float = 0.0

    def see_scores(self, score: Tensor, numerator: Tensor, mask: Tensor) -> None:
        kept = score[..., mask]
        self.score_min = min(self.score_min, float(kept.min()))
        self.score_max = max(self.score_max, float(kept.max()))
        self.exp_min = min(self.exp_min, float(numerator[..., mask].min()))
        self.expsum_min = min(self.expsum_min, float((numerator * mask).sum(-1).min()))

    def see_residual(self, x: Tensor) -> None:
        for name, part in (("first", x[:, 0]), ("rest", x[:, 1:])):
            self.residual_peak[name] = max(self.residual_peak[name], float(part.abs().max()))


def taylor3(s: Tensor) -> Tensor:
    """exp to third order, 1 + s + s²/2 + s³/6."""
    return 1 + s * (1 + s * (0.5 + s / 6))


def excess(x: Tensor, free: float) -> Tensor:
    """Penalty on massive activations: relu(|x| − free)² summed over channels, mean over positions."""
    return functional.relu(x.abs() - free).square().sum(-1).mean()


class Attention(nn.Module):
    """Causal attention, exact softmax or Taylor-3 weights; also returns the score penalty."""

    def __init__(self, shape: Shape, softmax: str, dropout: float) -> None:
        super().__init__()
        width, self.heads, self.softmax = shape.width, shape.heads, softmax
        self.c_attn = Conv1D(width, 3 * width, 0.5 / math.sqrt(width))
        self.c_proj = Conv1D(width, width, 0.5 / math.sqrt(2 * shape.layers * width))
        self.dropout = nn.Dropout(dropout)
        self.limits = LIMITS[softmax]
        self.statistics: Statistics | None = None
        self.head_range: Tensor | None = None  # (2, heads): least and largest score seen

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, positions, width = x.shape
        q, k, v = (
            part.view(batch, positions, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, dim=-1)
        )
        score = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        mask = torch.ones_like(score[0, 0], dtype=torch.bool).tril()
        penalty = self.limits.penalty(score, mask)
        # While training, a score outside acts as if at the edge: going further gains nothing, and
        # nothing divides by Σe ≈ 0. Evaluation uses the formula as it stands.
        used = score.clamp(self.limits.low, self.limits.high) if self.training else score
        if self.softmax == "exact":
            weights = used.masked_fill(~mask, -math.inf).softmax(-1)
        else:
            series = taylor3(used) * mask
            weights = series / series.sum(-1, keepdim=True)
        self.see(score, mask)
        context = (weights @ v).transpose(1, 2).reshape(batch, positions, width)
        return self.dropout(self.c_proj(context)), penalty

    def see(self, score: Tensor, mask: Tensor) -> None:
        if self.statistics is not None:
            numerator = score.exp() if self.softmax == "exact" else taylor3(score)
            self.statistics.see_scores(score, numerator, mask)
        if self.head_range is not None:
            kept = score[..., mask]
            low, high = self.head_range
            self.head_range = torch.stack((low.minimum(kept.amin((0, 2))), high.maximum(kept.amax((0, 2)))))

    def scale_queries(self, factors: Tensor) -> None:
        """Multiply each head's scores by its factor."""
        width = self.c_proj.bias.shape[0]
        columns = factors.repeat_interleave(width // self.heads)
        self.c_attn.weight[:, :width] *= columns
        self.c_attn.bias[:width] *= columns


class MLP(nn.Module):
    """Width → 4 width → width with GELU in its tanh form (``gelu_new``)."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        width = shape.width
        self.c_fc = Conv1D(width, 4 * width, 0.5 / math.sqrt(width))
        self.c_proj = Conv1D(4 * width, width, 0.5 / math.sqrt(8 * shape.layers * width))
        self.dropout = nn.Dropout(dropout)
        self.statistics: Statistics | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pre = self.c_fc(x)
        if self.statistics is not None:
            self.statistics.pre_peak = max(self.statistics.pre_peak, float(pre.abs().max()))
        y = self.dropout(self.c_proj(functional.gelu(pre, approximate="tanh")))
        return y, excess(pre, PRE_FREE)


class Block(nn.Module):
    """One transformer layer, with GPT-2's tensor names."""

    def __init__(self, shape: Shape, softmax: str, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.attn = Attention(shape, softmax, dropout)
        self.mlp = MLP(shape, dropout)

        self.statistics: Statistics | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context, scores = self.attn(self.ln_1(x))
        between = x + context
        change, massive = self.mlp(self.ln_2(between))
        after = between + change
        if self.statistics is not None:
            for residual in (x, between, after):
                self.statistics.see_residual(residual)
        return after, scores, massive + excess(between, RESIDUAL_FREE) + excess(after, RESIDUAL_FREE)


class Transformer(nn.Module):
    """Everything but the loss; GPT-2 checkpoints keep their tensors under ``transformer.``."""

    def __init__(self, shape: Shape, softmax: str, dropout: float) -> None:
        super().__init__()
        self.wte = nn.Embedding(len(ALPHABET), shape.width)
        self.wpe = nn.Embedding(shape.context, shape.width)
        self.h = nn.ModuleList(Block(shape, softmax, dropout) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        for embedding in (self.wte, self.wpe):
            nn.init.normal_(embedding.weight, std=0.05)


class GPT2(nn.Module):
    """GPT-2 architecture; the state dict has the names of a Hugging Face checkpoint."""

    def __init__(self, shape: Shape, softmax: str = "exact", dropout: float = 0.0) -> None:
        super().__init__()
        self.transformer = Transformer(shape, softmax, dropout)

    def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss (nats a character), score penalty, penalty on massive activations."""
        parts = self.transformer
        x = parts.wte(tokens) + parts.wpe.weight[: tokens.shape[1]]
        scores, massive = x.new_zeros(()), excess(x, RESIDUAL_FREE)
        for block in parts.h:
            x, more_scores, more_massive = block(x)
            scores, massive = scores + more_scores, massive + more_massive
        logits = parts.ln_f(x) @ parts.wte.weight.T
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss, scores, massive

    def attentions(self) -> Iterator[Attention]:
        return (m for m in self.modules() if isinstance(m, Attention))

    def collect(self, statistics: Statistics | None) -> None:
        """From now on, let `statistics` see every value of every layer."""
        for module in self.modules():
            if isinstance(module, Attention | MLP | Block):
                module.statistics = statistics
