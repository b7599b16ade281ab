"""Cells: one physical unit a file, and it says everything about itself side by side."""

from .converter import Converter, converter
from .coupling import Coupling, coupling
from .ecl import EclMultiplier
from .feedback import Feedback
from .hold import HoldLeak
from .inner import InnerNode
from .node import NodeArray
from .power import Costs, Driven, Law, Meter, Power, feedback_of, parts
from .product import Product, product
from .rectifier import Rectifier
from .siemens import Siemens
from .softmax import Softmax
from .source import Source
from .tail import TailDrive, TailNode, tails
from .tanh_pair import TanhPair
from .term import Keeping, Signals, Term, View, as_view
from .transfer import Transfer
from .transistor import TransistorCoupling
from .transistor_built import of_transistors, with_transistors
from .transistor_machine import machine_of_transistors
from .transit import TransitNode, behind
from .transposed import Transposed

__all__ = [
    "Converter",
    "Costs",
    "Coupling",
    "Driven",
    "EclMultiplier",
    "Feedback",
    "HoldLeak",
    "InnerNode",
    "Keeping",
    "Law",
    "Meter",
    "NodeArray",
    "Power",
    "Product",
    "Rectifier",
    "Siemens",
    "Signals",
    "Softmax",
    "Source",
    "TailDrive",
    "TailNode",
    "TanhPair",
    "Term",
    "Transfer",
    "TransistorCoupling",
    "TransitNode",
    "Transposed",
    "View",
    "as_view",
    "behind",
    "converter",
    "coupling",
    "feedback_of",
    "machine_of_transistors",
    "of_transistors",
    "parts",
    "product",
    "tails",
    "with_transistors",
]
