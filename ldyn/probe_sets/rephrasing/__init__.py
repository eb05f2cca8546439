"""Rephrases and human sentences for probe sets, written by a language model and checked one by one."""
