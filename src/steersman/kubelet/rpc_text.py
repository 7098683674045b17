"""Errors of gRPC as programs in Go print them: users search for these words."""

from __future__ import annotations


def code_name(name: str) -> str:
    """``NOT_FOUND`` -> ``NotFound``."""
    return "".join(word.capitalize() for word in name.split("_")).replace("Cancelled", "Canceled")


def rpc_text(code: str, description: str) -> str:
    """``code`` as Go spells it."""
    return f"rpc error: code = {code} desc = {description}"
