"""The same circuit for solvers that are not ours: forward Euler, SciPy, diffrax, SPICE."""
