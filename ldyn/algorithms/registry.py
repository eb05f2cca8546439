"""Every algorithm by name, and the ``algorithm`` block of a configuration that chooses one.

A block has ``name``, the loss's parameters and optionally ``gate`` (any pairwise loss; its ``name``, ``threshold`` and
``sharpness``) and ``module``, which is imported first so that a loss from outside ldyn can register itself.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from ldyn.algorithms.gates import GATES, gated
from ldyn.algorithms.grpo import GRPO
from ldyn.algorithms.losses import LOSSES
from ldyn.algorithms.mitigations import MITIGATIONS
from ldyn.algorithms.record import Algorithm, Parameter
from ldyn.errors import expected_one_of

_registered: dict[str, Algorithm] = {one.name: one for one in (*LOSSES, *MITIGATIONS, GRPO)}

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(_registered)
"""Name -> algorithm, with those registered later."""


def register(algorithm: Algorithm) -> Algorithm:
    """Make an algorithm known by its name, and return it.

    Raises ValueError if another module has that name already; a module may redefine its own algorithm.
    """
    other = _registered.get(algorithm.name)
    if other is not None and other.loss.__module__ != algorithm.loss.__module__:
        raise ValueError(
            f"found a second algorithm called {algorithm.name!r}; {other.loss.__module__} defines one already, "
            "expected another name"
        )
    _registered[algorithm.name] = algorithm
    return algorithm


def source_hash(loss: Callable[..., object]) -> str:
    """sha256 of the file that defines the loss, under its gate if it has one; "" where the file cannot be found."""
    try:
        return hashlib.sha256(Path(inspect.getfile(inspect.unwrap(loss))).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return ""


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


def import_user_module(name: str) -> ModuleType:
    """Import a module, also from the current directory. Its code runs: name only modules that you trust."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


_NO_PARAMETERS = ("name", "module", "gate")


def algorithm_faults(settings: Mapping[str, Any]) -> list[str]:
    module = settings.get("module")
    fault = import_losses(str(module)) if module else None
    if fault:
        return [fault]
    name = str(settings.get("name"))
    if name not in ALGORITHMS:
        return [f"name: found {name!r}; {expected_one_of(name, ALGORITHMS)}"]
    options = ALGORITHMS[name].options
    own = {key: value for key, value in settings.items() if key not in (*_NO_PARAMETERS, *options)}
    faults = [*_value_faults(name, ALGORITHMS[name].parameters, own), *_gate_faults(settings)]
    return [*faults, *(fault for key in options if key in settings for fault in _option_faults(settings, key))]


def _option_faults(settings: Mapping[str, Any], key: str) -> Iterator[str]:
    found, values = settings[key], ALGORITHMS[settings["name"]].options[key]
    if not isinstance(found, str):
        yield f"{key}: found {found!r}, expected a name, such as {values[0]}"
    elif len(values) > 1 and found not in values:
        yield f"{key}: found {found!r}; {expected_one_of(found, values)}"


def _gate_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    gate, algorithm = settings.get("gate"), ALGORITHMS[settings["name"]]
    if gate is None:
        return
    if not isinstance(gate, Mapping):
        yield f"gate: found {gate!r}, expected a mapping with the name of a gate: {', '.join(GATES)}"
    elif gate.get("name") not in GATES:
        yield f"gate.name: found {gate.get('name')!r}; {expected_one_of(str(gate.get('name')), GATES)}"
    elif algorithm.kind != "pairwise":
        yield f"gate: found one on {algorithm.name}, expected a pairwise loss: it gates the push on rejected responses"
    else:
        values = {key: value for key, value in gate.items() if key != "name"}
        faults = _value_faults(f"the {gate['name']} gate", GATES[gate["name"]].parameters, values)
        yield from (f"gate.{fault}" for fault in faults)


def _value_faults(owner: str, known: Mapping[str, Parameter], values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            yield f"{key}: {owner} has no such parameter; it has {', '.join(known) or 'none'}"
        elif not isinstance(value, (int, float)) or isinstance(value, bool) or not known[key].contains(value):
            yield f"{key}: found {value!r}, expected {known[key]}"


def algorithm_of(settings: Mapping[str, Any]) -> Algorithm:
    """The algorithm that a valid block asks for, behind its gate if it has one."""
    if settings.get("module"):
        import_losses(settings["module"])  # a launched process has not validated the configuration
    algorithm, gate = ALGORITHMS[settings["name"]], settings.get("gate")
    return gated(algorithm, GATES[gate["name"]]) if gate else algorithm


def algorithm_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the parameters and options of ``algorithm_of(settings)``, defaults filled in."""
    gate = settings.get("gate") or {}
    given = {key: value for key, value in settings.items() if key not in _NO_PARAMETERS}
    given |= {f"gate_{key}": value for key, value in gate.items() if key != "name"}
    algorithm = algorithm_of(settings)
    names = {key: str(given.pop(key, values[0])) for key, values in algorithm.options.items()}
    defaults = {key: parameter.default for key, parameter in algorithm.parameters.items()}
    return defaults | {key: float(value) for key, value in given.items()} | names
