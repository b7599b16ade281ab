"""Transistors: model cards as ngspice reads them, and what ngspice measured of one."""
