"""Transistor circuits of the cells, for netlists of level `device`: one cell a file, in SPICE text."""
