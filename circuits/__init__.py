"""What is simulated: technologies, cells, circuits, chips, and how a model becomes one.

Builds the one description (nodes and terms) that `emulator` solves, `energy` weighs and
`netlists` writes. Imports none of them.
"""

if __name__ != "dsmachine.circuits":  # a second copy of every class otherwise
    raise ImportError("'circuits' is a part of dsmachine: write 'import dsmachine.circuits'")
