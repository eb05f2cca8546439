"""Losses as pure functions of log-probabilities, each with a record of what it needs.

A new one is a function, an ``Algorithm`` record and a YAML: see "Add a loss in ten lines" in the README. *Extend*, the
paper's remedy, is no loss of its own: it is ``sft`` on another view of the data, ``view: [chosen, rejected]``.
"""

from ldyn.algorithms.coefficients import residual_coefficients
from ldyn.algorithms.gates import GATES, Gate, gated
from ldyn.algorithms.record import Algorithm, Parameter, Responses
from ldyn.algorithms.registry import ALGORITHMS, algorithm_faults, algorithm_of, algorithm_parameters, register

__all__ = [
    "ALGORITHMS",
    "GATES",
    "Algorithm",
    "Gate",
    "Parameter",
    "Responses",
    "algorithm_faults",
    "algorithm_of",
    "algorithm_parameters",
    "gated",
    "register",
    "residual_coefficients",
]
