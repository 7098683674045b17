"""Kubernetes' named formats: ``format.dns1123Label().validate(name)`` gives what is wrong with a string, or nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import ClassVar

from msgspec import Struct

from steersman.cel import types
from steersman.cel.conversions import parse_timestamp
from steersman.cel.costs import REGEX, TRAVERSAL, Estimate, Rule, scale
from steersman.cel.declarations import Function, Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.libraries.urls import parse_url
from steersman.cel.types import STRING, Type
from steersman.cel.values import NONE, OptionalValue, Value, size_of
from steersman.meta import names

FORMAT_TYPE = types.object_of("kubernetes.NamedFormat")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_LONGEST_PATTERN = 128


class Format(Struct, frozen=True):
    cel_type: ClassVar[Type] = FORMAT_TYPE

    name: str
    check: Callable[[str], list[str]]
    pattern_length: int
    """Of the pattern that it amounts to; costs are counted by it."""


def _of_prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """For ``generateName``: a dash at the end will have more behind it."""
    return lambda text: check(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except ValueError as error:
        return [str(error)]
    return []


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return [] if text else ["invalid base64"]


def _date(text: str) -> list[str]:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        return ["invalid date"]
    return []


def _datetime(text: str) -> list[str]:
    try:
        parse_timestamp(text.upper().replace(" ", "T", 1))
    except EvaluationError:
        return ["invalid datetime"]
    return []


FORMATS: dict[str, Format] = {
    "dns1123Label": Format("DNS1123Label", names.label_errors, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.subdomain_errors, 60),
    "dns1035Label": Format("DNS1035Label", names.dns_1035_label_errors, 30),
    "qualifiedName": Format("QualifiedName", names.label_key_errors, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _of_prefix(names.label_errors), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _of_prefix(names.subdomain_errors), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _of_prefix(names.dns_1035_label_errors), 30),
    "labelValue": Format("LabelValue", names.label_value_errors, 40),
    "uri": Format("URI", _uri, 1103),
    "uuid": Format("uuid", _uuid, 73),
    "byte": Format("byte", _byte, 84),
    "date": Format("date", _date, 112),
    "datetime": Format("datetime", _datetime, 112),
}


def _named(name: str) -> OptionalValue:
    found = FORMATS.get(name)
    return NONE if found is None else OptionalValue(found)


def _validate(format: Format, text: str) -> OptionalValue:
    errors = format.check(text)
    return OptionalValue(errors) if errors else NONE


def _validation_cost(operands: Sequence[Value], _: Value) -> int:
    return scale(1 + size_of(operands[1]), TRAVERSAL) * scale(operands[0].pattern_length, REGEX)


_VALIDATION = Rule(
    _validation_cost,
    lambda operands: Estimate(operands.size(1).scaled(TRAVERSAL).scaled(_LONGEST_PATTERN * REGEX)),
)


def _constant(name: str, format: Format) -> Function:
    return function(f"format.{name}", overload(f"format.{name}", to=FORMAT_TYPE, do=lambda: format))


LIBRARY = Library(
    name="kubernetes.format",
    functions=(
        function(
            "validate",
            member(
                "format-validate",
                FORMAT_TYPE,
                STRING,
                to=types.optional_of(types.list_of(STRING)),
                do=_validate,
                cost=_VALIDATION,
            ),
        ),
        function("format.named", overload("format-named", STRING, to=types.optional_of(FORMAT_TYPE), do=_named)),
        *(_constant(name, format) for name, format in FORMATS.items()),
    ),
    types=(FORMAT_TYPE,),
)
