"""Quantities against exact fractions, and canonical forms as upstream writes them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.quantities import canonical, format_binary, parse_quantity, quantity, to_int, to_milli

FACTORS = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60), "e3": Fraction(1000), "E2": Fraction(100), "e-2": Fraction(1, 100), "e+1": Fraction(10),
}  # fmt: skip
DIGITS = st.from_regex(r"[0-9]{1,6}(\.[0-9]{0,4})?|\.[0-9]{1,4}", fullmatch=True)
TEXTS = st.builds(
    lambda *parts: "".join(parts), st.sampled_from(("", "-", "+")), DIGITS, st.sampled_from(sorted(FACTORS))
)
LARGEST = 2**63 - 1


@given(st.sampled_from(("", "-", "+")), DIGITS, st.sampled_from(sorted(FACTORS)))
def test_a_value_is_exact_down_to_nano_and_up_to_an_int64(sign: str, digits: str, suffix: str) -> None:
    whole, _, part = digits.partition(".")
    exact = Fraction(int(f"0{whole}{part}"), 10 ** len(part)) * FACTORS[suffix]
    expected = min(Fraction(math.ceil(exact * 10**9), 10**9), Fraction(LARGEST))
    assert parse_quantity(f"{sign}{digits}{suffix}") == (-expected if sign == "-" else expected)


@given(TEXTS)
def test_the_canonical_form_has_the_same_value_and_is_its_own_canonical_form(text: str) -> None:
    assert parse_quantity(canonical(text)) == parse_quantity(text)
    assert canonical(canonical(text)) == canonical(text)


@given(st.integers(-(2**62), 2**62))
def test_bytes_survive_printing(value: int) -> None:
    assert to_int(format_binary(value)) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"), ("0Mi", "0"), ("-0", "0"), ("1.0", "1"), ("1.5", "1500m"), ("0.1", "100m"), ("1000m", "1"),
        ("1000", "1k"), ("1500", "1500"), ("1e3", "1e3"), ("1500e3", "1500e3"), ("1.5e3", "1500"), ("100e-3", "100e-3"),
        ("1024Ki", "1Mi"), ("1536Mi", "1536Mi"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("0.1Mi", "104857600m"),
        ("1024", "1024"), ("0.0000000001", "1n"), ("-1.5Gi", "-1536Mi"), (".5", "500m"), ("5.", "5"), ("+5", "5"),
    ],
)  # fmt: skip
def test_canonical_forms(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1Kib", "1ki", "1K", "K", ".", "-", "1e", "1.2.3", "0x1", "1e3Mi", "١", "1_000", "∞"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_json_values_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        quantity(value)


def test_whole_units_are_rounded_up() -> None:
    assert (to_int("1.1"), to_int("-1.9"), to_milli("1u"), to_milli(2), to_milli(0.5)) == (2, -1, 1, 2000, 500)
