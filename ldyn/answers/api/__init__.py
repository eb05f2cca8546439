"""A small client of endpoints that speak OpenAI's chat completions: paced, patient, cached and within a budget."""

from ldyn.answers.api.client import ApiModel
from ldyn.answers.api.settings import ApiConfig

__all__ = ["ApiConfig", "ApiModel"]
