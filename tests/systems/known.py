"""Every system with a known answer."""

from systems.amplified import amplified
from systems.division import division
from systems.everything import everything
from systems.lags import lags, late_front
from systems.ramp import ramp
from systems.rc import rc
from systems.ring import ring
from systems.root import waiting_root
from systems.transistors import transistors

SYSTEMS = [
    rc(), lags(5), lags(24), lags(60), late_front(), waiting_root(), division(), ramp(), ring(), everything(),
    transistors(), amplified(),
]  # fmt: skip
