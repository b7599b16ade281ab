"""What differs between families of models outside their circuit: sizes, names of tensors, embedding. One file each."""

from .family import Family
from .gpt2 import GPT2
from .llama import LLAMA
from .opt import OPT

FAMILIES = {family.name: family for family in (GPT2, OPT, LLAMA)}

__all__ = ["FAMILIES", "Family"]
