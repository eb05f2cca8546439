"""ldyn: an instrument for seeing how finetuning moves a language model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldyn.probes.probe_set import ProbeSet
    from ldyn.run.probe_callback import ProbeCallback

__version__ = "0.1.0"
__all__ = ["ProbeCallback", "ProbeSet"]


def __getattr__(name: str) -> Any:
    """``ProbeCallback`` and ``ProbeSet`` are imported when they are used: `import ldyn` loads no torch."""
    if name == "ProbeSet":
        from ldyn.probes.probe_set import ProbeSet

        return ProbeSet
    if name == "ProbeCallback":
        from ldyn.run.probe_callback import ProbeCallback

        return ProbeCallback
    raise AttributeError(f"module 'ldyn' has no attribute {name!r}")
