"""Malformed JSON is explained as Go's decoder explains it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.apiserver.jsonsyntax import END, LIMIT_BYTES, syntax_error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", END),
        ("  ", END),
        ("{", END),
        ('{"a":', END),
        ('"abc', END),
        ("[1,", END),
        ("tru", END),
        ("-", END),
        ("hello", "invalid character 'h' looking for beginning of value"),
        ("\xff", "invalid character 'ÿ' looking for beginning of value"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        ('{"a":01}', "invalid character '1' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("[}", "invalid character '}' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("tru}", "invalid character '}' in literal true (expecting 'e')"),
        ('"\x01"', "invalid character '\\x01' in string literal"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ('"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.}", "invalid character '}' after decimal point in numeric literal"),
        ("1e+]", "invalid character ']' in exponent of numeric literal"),
    ],
)
def test_what_is_wrong(body: str, message: str) -> None:
    assert syntax_error(body.encode("latin-1")) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    ),
    st.sampled_from([None, 1]),
)
def test_nothing_is_wrong_with_json(value: object, indent: int | None) -> None:
    assert syntax_error(json.dumps(value, indent=indent).encode()) == ""


def test_hostile_bodies_cost_little() -> None:
    for body in (b"[" * 3_000_000, b"1," * 1_500_000, b'{"a":' * 600_000, b'"' + b"\\n" * 1_500_000):
        began_s = time.process_time()
        assert syntax_error(body + b"x") in ("", "invalid character ',' after top-level value")
        assert time.process_time() - began_s < 1
    assert LIMIT_BYTES < 1 << 20
