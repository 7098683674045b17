"""Names of certificate signers: ``example.com/signer``."""

from __future__ import annotations

from steersman.meta.errors import invalid, required, too_long
from steersman.meta.names import label_errors, subdomain_errors
from steersman.schema.rules import Errors

_DOMAIN_LENGTH = 253
_NAME_LENGTH = _DOMAIN_LENGTH + 1 + 253 + 63 + 1


def check_signer_name(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.append(required(path))
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(invalid(path, name, detail))
        return
    if len(domain) > _DOMAIN_LENGTH:
        errors.append(too_long(path, _DOMAIN_LENGTH))
    for label in domain.split("."):
        found = label_errors(label)
        errors.extend(invalid(path, domain, f'validating label "{label}": {text}') for text in found)
        if found:
            break
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    for label in rest.split("."):
        found = subdomain_errors(label)
        errors.extend(invalid(path, rest, f'validating label "{label}": {text}') for text in found)
        if found:
            break
    if len(name) > _NAME_LENGTH:
        errors.append(too_long(path, _NAME_LENGTH))
