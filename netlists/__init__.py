"""What others can check: SPICE netlists of any tile, block or circuit, and ngspice on them."""

if __name__ != "dsmachine.netlists":  # a second copy of every class otherwise
    raise ImportError("'netlists' is a part of dsmachine: write 'import dsmachine.netlists'")
