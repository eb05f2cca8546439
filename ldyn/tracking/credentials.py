"""Whether a tracker that needs an account has one, asked before hours are spent."""

from __future__ import annotations

from ldyn.tracking.settings import LoggerConfig
from ldyn.tracking.wandb_environment import keep_to_itself


def key_faults(logger: LoggerConfig) -> list[str]:
    """Faults of the key for wandb's online mode. The network is not used: a key that the server refuses passes here."""
    if logger.kind != "wandb" or logger.mode != "online":
        return []
    expected = "expected one from `wandb login` or in WANDB_API_KEY; or logger.mode=offline, and `wandb sync` later"
    keep_to_itself()
    import wandb

    try:
        return [] if wandb.login(prompt=False, verify=False) else [f"logger.mode: found online and no key, {expected}"]
    except Exception as error:  # noqa: BLE001 - wandb has several kinds for a malformed key, not all of them public
        reason = " ".join(str(error).split())[:200]
        return [f"logger.mode: found online and a key that wandb refuses ({reason}), {expected}"]
