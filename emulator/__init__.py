"""How a circuit relaxes: operating point, transient, noise, settling, and the run they give.

Knows circuits only; whoever wants to see the solution while it is made is an observer.
"""

if __name__ != "dsmachine.emulator":  # a second copy of every class otherwise
    raise ImportError("'emulator' is a part of dsmachine: write 'import dsmachine.emulator'")
