"""What names may look like: each function says what is wrong with a value in upstream's words, an empty list where nothing is.

Source: "Object Names and IDs" in the Kubernetes documentation, and the messages that kube-apiserver sends.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_HTTP_HEADER = r"[-A-Za-z0-9]+"
_PERCENT = r"[0-9]+%"

_is_label = re.compile(_LABEL, re.ASCII).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN, re.ASCII).fullmatch
_is_wildcard_subdomain = re.compile(rf"\*\.{_SUBDOMAIN}", re.ASCII).fullmatch
_is_dns_1035_label = re.compile(_DNS_1035_LABEL, re.ASCII).fullmatch
_is_qualified = re.compile(_QUALIFIED, re.ASCII).fullmatch
_is_label_value = re.compile(_LABEL_VALUE, re.ASCII).fullmatch
_is_c_identifier = re.compile(_C_IDENTIFIER, re.ASCII).fullmatch
_is_config_key = re.compile(_CONFIG_KEY, re.ASCII).fullmatch
_is_http_header = re.compile(_HTTP_HEADER, re.ASCII).fullmatch
_is_percent = re.compile(_PERCENT, re.ASCII).fullmatch
_is_environment_variable = re.compile(r"[ -<>-~]+", re.ASCII).fullmatch
_is_port_name_charset = re.compile(r"[-a-z0-9]+", re.ASCII).fullmatch

_QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)


def longer_than(length: int) -> str:
    return f"must be no more than {length} characters"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


@lru_cache(maxsize=8192)
def _subdomain_errors(name: str) -> tuple[str, ...]:
    errors: tuple[str, ...] = (longer_than(253),) if len(name) > 253 else ()
    if _is_subdomain(name) is None:
        errors += (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            f"'{_SUBDOMAIN}')",
        )
    return errors


def subdomain_errors(name: str) -> list[str]:
    """A DNS subdomain (RFC 1123): what most objects are named by."""
    return list(_subdomain_errors(name))


def label_errors(name: str) -> list[str]:
    """A DNS label (RFC 1123): namespaces, containers, volumes."""
    if len(name) <= 63 and _is_label(name):
        return []
    errors = [longer_than(63)] if len(name) > 63 else []
    if _is_label(name) is None:
        if _is_subdomain(name):
            errors.append("must not contain dots")
        else:
            errors.append(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
                "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                f"'{_LABEL}')"
            )
    return errors


def dns_1035_label_errors(name: str) -> list[str]:
    """A DNS label that starts with a letter (RFC 1035): Services created before relaxed names."""
    errors = [longer_than(63)] if len(name) > 63 else []
    if _is_dns_1035_label(name) is None:
        errors.append(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
            f"is '{_DNS_1035_LABEL}')"
        )
    return errors


def wildcard_subdomain_errors(name: str) -> list[str]:
    """``*.`` and a DNS subdomain: hosts of an Ingress."""
    errors = [longer_than(253)] if len(name) > 253 else []
    if _is_wildcard_subdomain(name) is None:
        errors.append(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
            "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "
            rf"'*.example.com', regex used for validation is '\*\.{_SUBDOMAIN}')"
        )
    return errors


def path_segment_errors(name: str) -> list[str]:
    """Anything that stands as one segment of a URL path: RBAC objects."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in name]


@lru_cache(maxsize=8192)
def _label_key_errors(key: str) -> tuple[str, ...]:
    prefix, slash, name = key.partition("/")
    if "/" in name:
        return (
            f"a valid label key {_QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    errors: list[str] = []
    if not slash:
        name = prefix
    elif not prefix:
        errors.append("prefix part must be non-empty")
    else:
        errors += [f"prefix part {error}" for error in _subdomain_errors(prefix)]
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > 63:
        errors.append("name part must be no more than 63 bytes")
    if _is_qualified(name) is None:
        errors.append(f"name part {_QUALIFIED_RULE}")
    return tuple(errors)


def label_key_errors(key: str) -> list[str]:
    """A qualified name, ``example.com/name`` or ``name``: keys of labels and (in lower case) annotations, resources."""
    return list(_label_key_errors(key))


@lru_cache(maxsize=8192)
def _label_value_errors(value: str) -> tuple[str, ...]:
    errors: tuple[str, ...] = ("must be no more than 63 bytes",) if len(value.encode()) > 63 else ()
    if _is_label_value(value) is None:
        errors += (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
            "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            f"validation is '{_LABEL_VALUE}')",
        )
    return errors


def label_value_errors(value: str) -> list[str]:
    return list(_label_value_errors(value))


def c_identifier_errors(value: str) -> list[str]:
    if _is_c_identifier(value):
        return []
    return [
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
        f"or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '{_C_IDENTIFIER}')"
    ]


def environment_variable_errors(name: str) -> list[str]:
    """Printable ASCII without ``=``, as containers may name their environment variables since v1.34."""
    if not name:
        return ["environment variable name must be non-empty"]
    if _is_environment_variable(name):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def config_key_errors(key: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data: a file name."""
    errors = [longer_than(253)] if len(key) > 253 else []
    if _is_config_key(key) is None:
        errors.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            f"'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
        )
    if key in (".", ".."):
        errors.append(f"must not be '{key}'")
    elif key.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def http_header_errors(name: str) -> list[str]:
    if _is_http_header(name):
        return []
    return [
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        f"validation is '{_HTTP_HEADER}')"
    ]


def port_number_errors(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [between(1, 65535)]


def port_name_errors(name: str) -> list[str]:
    """An IANA service name: at most 15 of ``a-z0-9-``, with a letter."""
    errors = [longer_than(15)] if len(name) > 15 else []
    if _is_port_name_charset(name) is None:
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= character <= "z" for character in name):
        errors.append("must contain at least one letter (a-z)")
    if "--" in name:
        errors.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def percent_errors(value: str) -> list[str]:
    if _is_percent(value):
        return []
    return [
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
        f"validation is '{_PERCENT}')"
    ]


def user_or_group_errors(number: int) -> list[str]:
    """A numeric user or group id."""
    return [] if 0 <= number <= 2**31 - 1 else [between(0, 2**31 - 1)]
