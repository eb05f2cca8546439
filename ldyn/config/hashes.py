"""Whether two configurations give the same numbers: a hash of all settings that decide them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ldyn.config.loading import config_to_plain
from ldyn.config.schema import RunConfig, StudyConfig

OF_THE_JOB = ("run", "resume", "paths", "logger", "report")
"""What may differ between the jobs of one run; everything else decides the trajectory."""


def deciding_settings(config: RunConfig | StudyConfig) -> dict[str, Any]:
    """The settings, as YAML has them, without those of the job."""
    settings = config_to_plain(config)
    return {key: value for key, value in settings.items() if key not in OF_THE_JOB}


def settings_hash(config: RunConfig | StudyConfig) -> str:
    """sha256 of the deciding settings; a run keeps it in its manifest, ``hashes.settings``."""
    return hashlib.sha256(json.dumps(deciding_settings(config), sort_keys=True).encode()).hexdigest()
