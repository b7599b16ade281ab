"""Mapping: a trained model's operations as node arrays and terms, one file an operation (DESIGN §4)."""

from .model import map_model

__all__ = ["map_model"]
