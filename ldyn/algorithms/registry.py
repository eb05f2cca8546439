"""Every algorithm by name, and how one from outside ldyn joins them."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ldyn.algorithms.mitigations import APO_ZERO, CAL_DPO, DPO_SFT, DPO_SHIFT, DPO_SHIFT_LINEAR, DPOP
from ldyn.algorithms.pairwise import CDPO, DPO, IPO, IPO_LENGTH_NORMALISED, SLIC, SPIN, SPPO
from ldyn.algorithms.pointwise import SFT, SFT_TOKEN_MEAN
from ldyn.algorithms.record import Algorithm
from ldyn.algorithms.reference_free import SIMPO
from ldyn.algorithms.user_code import import_user_module

_POINTWISE = (SFT, SFT_TOKEN_MEAN)
_OF_THE_PAPER = (DPO, CDPO, IPO, IPO_LENGTH_NORMALISED, SLIC, SPPO, SPIN)
_FURTHER = (SIMPO, DPO_SFT, DPOP, CAL_DPO, DPO_SHIFT, DPO_SHIFT_LINEAR, APO_ZERO)

_registered: dict[str, Algorithm] = {one.name: one for one in (*_POINTWISE, *_OF_THE_PAPER, *_FURTHER)}

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(_registered)
"""Name -> algorithm; what is registered later appears here too."""


def register(algorithm: Algorithm) -> Algorithm:
    """Make an algorithm known by its name, and return it.

    Raises ValueError if another module has that name already; a module may define its own algorithm anew.
    """
    other = _registered.get(algorithm.name)
    if other is not None and other.loss.__module__ != algorithm.loss.__module__:
        raise ValueError(
            f"found a second algorithm called {algorithm.name!r}; {other.loss.__module__} defines one already, "
            "expected another name"
        )
    _registered[algorithm.name] = algorithm
    return algorithm


def import_losses(module: str) -> str | None:
    """Import a module that registers algorithms; what is wrong with it, or None."""
    try:
        import_user_module(module)
    except Exception as error:  # noqa: BLE001 - the module is the user's own, and may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if "importlib" in last.filename else f" in {last.filename}, line {last.lineno}"
        expected = f"expected a Python module in {Path.cwd()} or on PYTHONPATH that calls ldyn.algorithms.register"
        return f"module: could not import {module!r} ({type(error).__name__}: {error}{where}); {expected}"
    return None
