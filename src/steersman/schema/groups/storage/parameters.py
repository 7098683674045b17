"""Rules that storage classes of volumes and of attributes share."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.meta.errors import invalid, required, too_long
from steersman.meta.names import label_key_errors
from steersman.schema.rules import Errors

_COUNT = 512
_BYTES = 256 * 1024


def check_provisioner(errors: Errors, name: str, path: str) -> None:
    """A driver or a plugin: a qualified name whose case does not matter."""
    if not name:
        errors.append(required(path))
        return
    errors.extend(invalid(path, name.lower(), text) for text in label_key_errors(name.lower()))


def check_parameters(errors: Errors, parameters: Mapping[str, str], path: str) -> None:
    if len(parameters) > _COUNT:
        errors.append(too_long(path, _COUNT))
        return
    if "" in parameters:
        errors.append(invalid(path, "", "field can not be empty."))
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in parameters.items()) > _BYTES:
        errors.append(too_long(path, _BYTES))
