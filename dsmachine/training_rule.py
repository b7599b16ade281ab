"""By which rule, and how fast, a chip's programmed values move, as `train` is asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .circuits import checks
from .circuits.checkpoints import Model
from .circuits.circuit import Circuit
from .circuits.errors import Error, shown
from .circuits.mapping.gradients import folded_gains
from .emulator.optimizers import OPTIMIZERS, AdamW, Sgd

RATES = {"sgd": 0.01, "adamw": 1e-3}
LR_OF = ("model", "chip")


@dataclass(frozen=True)
class Rule:
    """optimizer: its name; lr: η; lr_of: "model" or "chip", what η is the rate of; clip: c, None: none."""

    optimizer: str
    lr: float
    lr_of: str
    clip: float | None

    def made(self, model: Model, circuit: Circuit) -> Sgd | AdamW:
        """The optimizer of a chip of this circuit of the model."""
        options: dict[str, Any] = {} if self.clip is None else {"clip": self.clip}
        options |= {"gains": folded_gains(model, circuit)} if self.lr_of == "model" else {}
        return OPTIMIZERS[self.optimizer](self.lr, **options)

    @property
    def asked(self) -> dict[str, Any]:
        """What a training must have in common with one that it goes on with."""
        own = {"lr_of": self.lr_of, "clip": self.clip} if OPTIMIZERS[self.optimizer].digital else {}
        return {"optimizer": self.optimizer, "lr": self.lr} | own


def rule_of(optimizer: str, lr: float | None, lr_of: str | None, clip: float | None) -> Rule:
    """The options as they will be followed. Raises Error for bad ones, and for those that control capacitors lack."""
    if not checks.among(optimizer, OPTIMIZERS):
        raise Error(f"optimizer {shown(optimizer)} is unknown: use {' or '.join(OPTIMIZERS)}")
    rate = RATES[optimizer] if lr is None else checks.number("lr", lr, "use a number above 0, such as 0.01", above=0)
    if lr_of is not None and not checks.among(lr_of, LR_OF):
        raise Error(f"lr_of {shown(lr_of)} is unknown: use {' or '.join(LR_OF)}")
    most = None if clip is None else checks.number("clip", clip, "use a number above 0, such as 1", above=0)
    digital = OPTIMIZERS[optimizer].digital
    for name, value, ignored in (("lr_of", lr_of, lr_of == "model"), ("clip", clip, clip is not None)):
        if ignored and not digital:
            raise Error(
                f"{name} {shown(value)} is nothing that control capacitors do, and the optimizer is {optimizer!r}: "
                "leave it out or use optimizer 'adamw'"
            )
    return Rule(optimizer, rate, lr_of or ("model" if digital else "chip"), most)
