"""The experiment: from a validated configuration to a finished run directory."""
