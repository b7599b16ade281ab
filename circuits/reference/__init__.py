"""The digital reference: a plain NumPy forward pass of each family with every activation named.

Calibration reads it and `logit_error` is measured against it, so it shares no code with the
mapping. Position axis P, width d, heads H, head width dh, heads of keys and values KV, inner width I, vocabulary V;
tokens may carry a batch axis in front, which every array then has too.
"""

from .forward import forward
from .ranges import calibrate_ranges
from .scores import loss, perplexity

__all__ = ["forward", "loss", "perplexity", "calibrate_ranges"]
