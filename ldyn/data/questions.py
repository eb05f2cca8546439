"""When two questions are the same, so that what is unseen is unseen."""

from __future__ import annotations

import hashlib
import unicodedata


def question_key(prompt: str) -> str:
    """sha256 of the text without its differences in case, spacing and Unicode form (NFKC)."""
    text = " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
