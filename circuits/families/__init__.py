"""What differs between families of models outside their circuit: sizes, names of tensors, embedding. One file each."""

import math

from ..config import Config
from .family import Family
from .gpt2 import GPT2
from .llama import LLAMA
from .opt import OPT

FAMILIES = {family.name: family for family in (GPT2, OPT, LLAMA)}


def parameters(config: Config) -> int:
    """Numbers in all tensors of a model, tied ones counted once."""
    return sum(math.prod(shape) for _, shape in FAMILIES[config.family].shapes(config))


__all__ = ["FAMILIES", "Family", "parameters"]
