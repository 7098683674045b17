"""Names below DNS domains: ``example.com/path``, ``webhook.example.com``. Each function says what is wrong, field by field."""

from __future__ import annotations

import re

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.names import label_errors, subdomain_errors

_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_is_http_path = re.compile(_HTTP_PATH, re.ASCII).fullmatch


def domain_prefixed_path_errors(value: str, path: str) -> list[FieldError]:
    """``acme.io/foo``."""
    if not value:
        return [required(path)]
    host, _, rest = value.partition("/")
    if not host or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [invalid(path, host, text) for text in subdomain_errors(host)]
    if _is_http_path(rest) is None:
        errors.append(invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH}')"))
    return errors


def qualified_name_errors(name: str, path: str) -> list[FieldError]:
    """A domain of three or more segments."""
    found = _domain_errors(name, path)
    if found is not None:
        return found
    if name.count(".") < 2:
        return [invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def domain_name_errors(name: str, path: str) -> list[FieldError]:
    """A domain of two or more segments; a dot may end it."""
    found = _domain_errors(name.removesuffix("."), path)
    if found is not None:
        return found
    labels = name.removesuffix(".").split(".")
    if len(labels) < 2:
        detail = "should be a domain with at least two segments separated by dots"
        return [invalid(path, name.removesuffix("."), detail)]
    for label in labels:
        texts = label_errors(label)
        if texts:
            return [invalid(path, label, ",".join(texts))]
    return []


def _domain_errors(name: str, path: str) -> list[FieldError] | None:
    if not name:
        return [required(path)]
    texts = subdomain_errors(name)
    return [invalid(path, name, ",".join(texts))] if texts else None
