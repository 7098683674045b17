"""How long a service account's token may be asked to live."""

from __future__ import annotations

from steersman.meta.errors import invalid
from steersman.schema.rules import Errors

LEAST_S = 600
MOST_S = 2**32


def check_token_lifetime(errors: Errors, seconds: int | None, path: str) -> None:
    if seconds is None:
        return
    if seconds < LEAST_S:
        errors.append(invalid(path, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > MOST_S:
        errors.append(invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
