"""Values of ``format`` that a custom resource's strings are checked by.

Source: "Validation" of the CustomResourceDefinition documentation, which lists the formats, and go-openapi's strfmt, which
decides what each of them accepts. Names are written without dashes: ``date-time`` is ``datetime``.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

Check = Callable[[str], bool]


def normalized(name: str) -> str:
    """As formats are looked up."""
    return name.replace("-", "")


def _matches(pattern: str, flags: re.RegexFlag = re.ASCII) -> Check:
    match = re.compile(pattern, flags).fullmatch
    return lambda text: match(text) is not None


_IGNORE_CASE = re.ASCII | re.IGNORECASE
_is_object_id = _matches("[0-9a-f]{24}", _IGNORE_CASE)
_is_mac = _matches(
    r"(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}", _IGNORE_CASE
)
_is_eui64 = _matches(
    r"(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){6}[0-9a-f]{2}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){3}"
    r"|(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\2){18}[0-9a-f]{2}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){9}",
    _IGNORE_CASE,
)
_card = _matches(
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|(?:2131|1800|35\d{3})\d{11}"
)
_ATOM = r"[^\s()<>\[\]:;@\\,.\"]+"
_address = _matches(rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\r\n]|\\.)*")@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\[\]\s]*\])')
_named_address = re.compile(r'[ \t]*(?:"(?:[^"\\]|\\.)*"|[^<>"@,;:()\[\]\\]*)[ \t]*<([^<>]*)>[ \t]*')
_hostname_label = re.compile(r"[^\W_](?:(?:[^\W_]|-)*[^\W_])?")
_time_of_day = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_go_duration = _matches(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_word_duration = re.compile(r"[0-9]+\s*([A-Za-zµ]+)")
_DURATION_UNITS = ("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk")
_DURATION_WORDS = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
"""Units of durations in words, which may go on: ``seconds``."""
_short_name = _matches("[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_long_name = _matches(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_rgb = _matches(
    r"rgb\(\s*(?:(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*){2}(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)"
)


def _is_uri(text: str) -> bool:
    """As Go's ``url.ParseRequestURI``: absolute, or an absolute path."""
    if not text or any(character <= " " or character == "\x7f" for character in text):
        return False
    if re.search(r"%(?![0-9A-Fa-f]{2})", text.partition("?")[0]):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return text.startswith("/") or bool(parts.scheme)


def _is_email(text: str) -> bool:
    """An address, or a name with one in angle brackets (RFC 5322), as Go's ``mail.ParseAddress`` takes them."""
    found = _named_address.fullmatch(text)
    return _address(found.group(1) if found is not None else text.strip(" \t"))


def _is_hostname(text: str) -> bool:
    if not text or len(text.encode()) > 255:
        return False
    labels = text.split(".")
    if any(len(label) > 63 or _hostname_label.fullmatch(label) is None for label in labels):
        return False
    return len(labels) == 1 or (len(labels[-1]) >= 2 and labels[-1].isalpha())


def _octets(text: str) -> str:
    """An IPv4 address without leading zeros, which upstream ignores."""
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in text.split("."))


def _is_ipv4(text: str) -> bool:
    if ":" in text:
        return "." in text and _is_ipv6(text)
    try:
        ipaddress.IPv4Address(_octets(text))
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return address.scope_id is None


def _is_cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        return False
    if ":" in address:
        return _is_ipv6(address) and int(length) <= 128
    return _is_ipv4(address) and int(length) <= 32


def _is_mac_address(text: str) -> bool:
    return _is_mac(text) or _is_eui64(text)


def _digits_of(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _is_isbn10(text: str) -> bool:
    digits = _digits_of(text)
    if re.fullmatch("[0-9]{9}(?:[0-9]|X)", digits, re.ASCII) is None:
        return False
    values = [10 if digit == "X" else int(digit) for digit in digits]
    return sum((position + 1) * value for position, value in enumerate(values)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = _digits_of(text)
    if re.fullmatch("[0-9]{13}", digits, re.ASCII) is None:
        return False
    return sum(int(digit) * (3 if position % 2 else 1) for position, digit in enumerate(digits)) % 10 == 0


def _is_credit_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    if not _card(digits):
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def is_date(text: str) -> bool:
    """A full-date of RFC 3339."""
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) is None:
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return text.startswith("0000-")  # year 0 is one to Go
    return True


def _is_datetime(text: str) -> bool:
    if len(text) < 4:
        return False
    date, separator, rest = text.lower().partition("t")
    if not separator or not is_date(date):
        return False
    found = _time_of_day.match(rest.partition("t")[0])
    if found is None or found.end() != len(rest.partition("t")[0]):
        return False
    hour, minute, second = found.groups()
    return hour <= "23" and minute <= "59" and second <= "59"


def _is_duration(text: str) -> bool:
    if _go_duration(text):
        return True
    for unit in _word_duration.findall(text):
        word = unit.lower()
        if word in _DURATION_UNITS or word.startswith(_DURATION_WORDS):
            return True
    return False


FORMATS: Mapping[str, Check] = {
    "bsonobjectid": _is_object_id,
    "byte": _is_base64,
    "cidr": _is_cidr,
    "creditcard": _is_credit_card,
    "date": is_date,
    "datetime": _is_datetime,
    "duration": _is_duration,
    "email": _is_email,
    "hexcolor": _matches("#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_hostname,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "k8slongname": lambda text: len(text) <= 253 and _long_name(text),
    "k8sshortname": lambda text: len(text) <= 63 and _short_name(text),
    "mac": _is_mac_address,
    "password": lambda text: True,
    "rgbcolor": _rgb,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": _is_uri,
    "uuid": _matches("[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", _IGNORE_CASE),
    "uuid3": _matches("[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}", _IGNORE_CASE),
    "uuid4": _matches("[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", _IGNORE_CASE),
    "uuid5": _matches("[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", _IGNORE_CASE),
}
"""Of strings; other types' formats (int32, int64, float, double) bound their range."""
