"""Sweeps: a grid of parameters × chips × noise seeds, measured once each, kept by content, spread over processes."""
