"""Names of a node's ends in a device-level netlist, its global nodes, and its bias lines."""

SIDES = (":p", ":n")
OUTPUTS = (":op", ":on")
INPUTS = (":xp", ":xn")
RAILS = "vdd vcm bn bp bc"
KELVIN = 273.15
BIAS = 10e-6  # A, in each bias line
BIAS_N = (10.0, 0.5)  # µm, size of the n-channel mirror device that carries BIAS
BIAS_P = (6.0, 0.3)
CASCODE_P = (1.2, 0.3)  # diode whose V_SG biases p-channel cascodes
DECOUPLING = 1e-12  # F, of a tanh pair and a softmax branch, on each bias line that it hangs on
DECOUPLED = {"bn": f"Cbn bn 0 {DECOUPLING:g}", "bc": f"Cbc bc vdd {DECOUPLING:g}"}
"""Without it moving mirrors shift the lines' one diode: 1 % of a saturated branch, for 10 ns, in a block of width 8."""
