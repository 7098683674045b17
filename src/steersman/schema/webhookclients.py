"""Rules of how the API server reaches a webhook: of admission, and of conversion between custom resources' versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from steersman.meta.errors import invalid, required
from steersman.meta.names import dns_1035_label_errors, port_number_errors, subdomain_errors
from steersman.schema.rules import Errors

_FORM = "; desired format: https://host[/path]"
_REVIEW_VERSIONS = ("v1", "v1beta1")


def check_client(errors: Errors, client: Mapping[str, Any], path: str) -> None:
    """``url`` or ``service``."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif service is not None:
        _check_service(errors, service, f"{path}.service")
    else:
        _check_url(errors, str(url), f"{path}.url")


def _check_url(errors: Errors, url: str, path: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        errors.append(required(path, f"url must be a valid URL: {error}{_FORM}"))
        return
    if parts.scheme != "https":
        errors.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not parts.hostname and port is None:
        errors.append(invalid(path, "", f"host must be specified{_FORM}"))
    if parts.username is not None:
        user = parts.netloc.rpartition("@")[0]
        errors.append(invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))


def _check_service(errors: Errors, service: Mapping[str, Any], path: str) -> None:
    if not service.get("name"):
        errors.append(required(f"{path}.name", "service name is required"))
    if not service.get("namespace"):
        errors.append(required(f"{path}.namespace", "service namespace is required"))
    port, url = service.get("port") or 0, service.get("path")
    wrong = port_number_errors(port)
    if wrong:
        errors.append(invalid(f"{path}.port", port, f"port is not valid: {','.join(wrong)}"))
    if url and url != "/":
        _check_path(errors, url, f"{path}.path")


def _check_path(errors: Errors, url: str, path: str) -> None:
    if url == "//":
        errors.append(invalid(path, url, "segment[0] may not be empty"))
        return
    if not url.startswith("/"):
        errors.append(invalid(path, url, "must start with a '/'"))
    for index, segment in enumerate(url[1:].removesuffix("/").split("/")):
        if segment:
            errors.extend(invalid(path, url, f"segment[{index}]: {text}") for text in subdomain_errors(segment))
        else:
            errors.append(invalid(path, url, f"segment[{index}] may not be empty"))


def check_review_versions(errors: Errors, versions: Sequence[str], path: str, *, detail: str = "") -> None:
    """Versions of the review object that the webhook understands; ``detail`` is said where there is none."""
    if not versions:
        errors.append(required(path, detail))
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        errors.extend(invalid(f"{path}[{index}]", version, text) for text in dns_1035_label_errors(version))
    if not any(version in _REVIEW_VERSIONS for version in versions):
        detail = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        errors.append(invalid(path, list(versions), detail))
