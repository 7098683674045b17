"""Paths of files in volumes and containers."""

from __future__ import annotations

from steersman.meta.errors import invalid
from steersman.schema.rules import Errors


def check_no_backsteps(errors: Errors, target: str, path: str) -> None:
    if ".." in target.split("/"):
        errors.append(invalid(path, target, "must not contain '..'"))


def check_descending(errors: Errors, target: str, path: str) -> None:
    """Relative, and never out of where it starts."""
    if target.startswith("/"):
        errors.append(invalid(path, target, "must be a relative path"))
    check_no_backsteps(errors, target, path)


def check_file_name(errors: Errors, target: str, path: str) -> None:
    """Relative, and not a name that the kubelet keeps for itself (``..data``)."""
    check_descending(errors, target, path)
    if target.startswith("..") and not target.startswith("../"):
        errors.append(invalid(path, target, "must not start with '..'"))


def check_file_mode(errors: Errors, mode: int | None, path: str) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive"))
