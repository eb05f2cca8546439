"""Types of command line arguments that several commands share; each says what it found and what it expected."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def number(text: str) -> float:
    """A number that is finite."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:  # neither NaN nor infinite
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number")
    return value


def above_zero(text: str) -> float:
    """A number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return value


def share(text: str) -> float:
    """A share, from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a share from 0 to 1")
    return value


def mass(text: str) -> float:
    """A share above 0."""
    value = share(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a share above 0")
    return value


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, 0 or more")
    return int(text)


def not_negative(text: str) -> float:
    """A number, 0 or more."""
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number, 0 or more")
    return value
