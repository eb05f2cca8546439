"""Answers that a model writes to probe questions, and what they say about it."""
