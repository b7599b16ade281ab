"""Circuit-level emulator of the dynamical-system machine: language models that anneal."""

from .circuits.errors import Error

__version__ = "0.1.0"

__all__ = ["Error", "__version__"]
