"""What it costs: joules from V·I through an observer, power, area, placement, reports."""

if __name__ != "dsmachine.energy":  # a second copy of every class otherwise
    raise ImportError("'energy' is a part of dsmachine: write 'import dsmachine.energy'")
