"""Models in one GGUF file: sizes, tensors and tokenizer."""

from .model import read_gguf

__all__ = ["read_gguf"]
