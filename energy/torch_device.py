"""Where PyTorch runs the baseline: a GPU or the processor. PyTorch is imported when it is used."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

from ..circuits.config import Config
from ..circuits.errors import Error
from ..circuits.families import parameters
from .power_meter import PowerMeter, power_meter

PRECISIONS = ("bfloat16", "float16", "float32")


REQUIRED = {"torch": "torch==2.13.0", "transformers": "transformers>=4.56"}  # as `dsmachine doctor` says


def needed(package: str) -> Any:
    """A package that only the baseline needs."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise Error(f"baseline needs {package}, which is not installed: pip install '{REQUIRED[package]}'") from None


class Device:
    """Where the steps run: "cpu", "cuda" or "cuda:1"; `name` as its maker calls it."""

    def __init__(self, text: str) -> None:
        self.torch = needed("torch")
        kind, _, number = text.partition(":")
        if kind not in ("cuda", "cpu") or not (number or "0").isdecimal():
            raise Error(f"device {text!r} is unknown: use cuda, cuda:1 or cpu")
        self.is_gpu = kind == "cuda"
        self.place = self.torch.device(kind, int(number or 0))
        if self.is_gpu:
            self._open(text)

    def _open(self, text: str) -> None:
        count = self.torch.cuda.device_count() if self.torch.cuda.is_available() else 0
        if self.place.index >= count:
            found = f"PyTorch finds {count or 'no'} GPU{'s' if count > 1 else ''}"
            raise Error(f"baseline on {text!r}: {found}: run it where there is one, or give --device cpu")
        self.torch.cuda.set_device(self.place)
        self.torch.zeros(1, device=self.place)  # idle power is that of a GPU that has a context

    @property
    def name(self) -> str:
        """Of the GPU, or of the processor's architecture."""
        return str(self.torch.cuda.get_device_name(self.place)) if self.is_gpu else f"{os.uname().machine} processor"

    def wait(self) -> None:
        """Until all that was launched is done."""
        if self.is_gpu:
            self.torch.cuda.synchronize()

    @contextlib.contextmanager
    def meter(self) -> Iterator[PowerMeter | None]:
        """Its joules, if anything counts them."""
        if not self.is_gpu:
            yield None
            return
        uuid = str(self.torch.cuda.get_device_properties(self.place).uuid)
        with power_meter(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}") as found:
            yield found

    def precision(self, asked: str | None) -> str:
        """What was asked for; else bfloat16 on a GPU (float16 where it has none), float32 on a processor."""
        if asked is not None:
            if asked not in PRECISIONS:
                raise Error(f"precision {asked!r} is unknown: use {', '.join(PRECISIONS)}")
            return asked
        if not self.is_gpu:
            return "float32"
        return "bfloat16" if self.torch.cuda.is_bf16_supported() else "float16"

    def check_room(self, name: str, config: Config, precision: str) -> None:
        """Error where the weights alone do not fit."""
        if not self.is_gpu:
            return
        need = parameters(config) * getattr(self.torch, precision).itemsize
        free, _ = self.torch.cuda.mem_get_info()
        if need > free:
            raise Error(
                f"{name} needs {need / 1e9:.1f} GB for its weights in {precision}, {self.name} has {free / 1e9:.1f} GB "
                "free: leave it out, or take a larger GPU"
            )
