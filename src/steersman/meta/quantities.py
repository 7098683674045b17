"""Resource quantities: ``100m``, ``1.5Gi``, ``12e6``. Exact: a value is a ``Fraction`` until someone asks for an integer.

Source of the grammar: the API reference of ``resource.Quantity``.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,18}))?", re.ASCII)
_DECIMAL_EXPONENT = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_FACTOR = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_LARGEST = Fraction(2**63 - 1)
_SMALLEST_STEP = Fraction(1, 10**9)


@lru_cache(maxsize=8192)
def parse_quantity(text: str) -> Fraction:
    """The value of ``text``; finer than nano is rounded away from zero and what exceeds 2^63-1 is cut to it, as upstream
    does. Raises ``ValueError`` for what is not a quantity."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, suffix, exponent = match.groups()
    value = Fraction(digits.rstrip(".") if digits.endswith(".") else digits)
    if exponent is not None:
        power = int(exponent)
        if power > 30:
            value = _LARGEST if value else value
        elif power < -30 - len(digits):
            value = _SMALLEST_STEP if value else value
        else:
            value *= Fraction(10) ** power
    elif suffix in _BINARY_FACTOR:
        value *= _BINARY_FACTOR[suffix]
    else:
        value *= Fraction(10) ** _DECIMAL_EXPONENT[suffix or ""]
    if value.denominator > 1 and (value / _SMALLEST_STEP).denominator > 1:
        value = Fraction(math.ceil(value / _SMALLEST_STEP)) * _SMALLEST_STEP
    value = min(value, _LARGEST)
    return -value if sign == "-" else value


def quantity(value: object) -> Fraction:
    """The value of a quantity as it stands in JSON, where numbers are allowed too. Raises ``ValueError``."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a quantity")
    return parse_quantity(value if isinstance(value, str) else str(value))


def to_int(value: object) -> int:
    """A quantity in whole units, rounded up: bytes, counts."""
    return math.ceil(quantity(value))


def to_milli(value: object) -> int:
    """A quantity in thousandths, rounded up: milli-CPUs."""
    return math.ceil(quantity(value) * 1000)


def canonical(text: str) -> str:
    """``text`` in upstream's canonical form: the largest suffix without a fraction, in the family it was written in."""
    match = _QUANTITY.fullmatch(text)
    value = parse_quantity(text)
    if match is None or value == 0:
        return "0"
    suffix, exponent = match.group(3) or "", match.group(4)
    if suffix in _BINARY_FACTOR and value.denominator == 1 and abs(value) >= 1024:
        return format_binary(int(value))
    return format_decimal(value, exponent_form=exponent is not None)


def format_binary(value: int) -> str:
    """Bytes with the largest binary suffix that leaves no fraction: ``1536Mi``."""
    for suffix, factor in reversed(_BINARY_FACTOR.items()):
        if abs(value) >= factor and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def format_decimal(value: Fraction | int, *, exponent_form: bool = False) -> str:
    """With the largest decimal suffix that leaves no fraction: ``1500m``; ``exponent_form`` writes ``15e3``."""
    exact = Fraction(value)
    if exact == 0:
        return "0"
    for suffix, exponent in reversed(_DECIMAL_EXPONENT.items()):
        scaled = exact / Fraction(10) ** exponent
        if scaled.denominator == 1:
            if exponent_form:
                return f"{scaled.numerator}e{exponent}" if exponent else str(scaled.numerator)
            return f"{scaled.numerator}{suffix}"
    return f"{math.ceil(exact * 10**9)}n"
