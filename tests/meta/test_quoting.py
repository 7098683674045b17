"""Strings as Go's %q shows them."""

from __future__ import annotations

import pytest

from steersman.meta.quoting import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("a\r\n\t", r'"a\r\n\t"'),
        ("\0\x7f", r'"\x00\x7f"'),
        ("é漢", '"é漢"'),
        ("\u2028\U000e0001", r'"\u2028\U000e0001"'),
    ],
)
def test_quoting(text: str, shown: str) -> None:
    assert quoted(text) == shown
