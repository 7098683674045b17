"""How a request fails because of a webhook: the Status that clients get."""

from __future__ import annotations

from typing import Any

from steersman.meta.errors import APIError, BadRequest, InternalError
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted

_LOWEST_CODE, _HIGHEST_CODE = 400, 999


class CallingFailed(Exception):
    """The webhook could not be asked, or did not answer as it should: ``failurePolicy`` decides what that means."""

    def __init__(self, hook: str, why: str, code: int) -> None:
        super().__init__(f"failed calling webhook {quoted(hook)}: {why}")
        self.code = code
        """Of the Status that upstream makes of it, as metrics show it."""


class Denied(APIError):
    """The webhook said no: its own Status, if it gave one, with at least 400."""

    def __init__(self, hook: str, result: Object | None) -> None:
        self._result = _completed(result or {}, hook)
        details = self._result.get("details")
        super().__init__(str(self._result["message"]), details=details if isinstance(details, dict) else {})
        retry_after = self.details.get("retryAfterSeconds")
        self.retry_after_s = retry_after if isinstance(retry_after, int) else None

    @property
    def http_code(self) -> int:
        return int(self._result["code"])

    def status(self) -> dict[str, Any]:
        return dict(self._result)


def _completed(result: Object, hook: str) -> Object:
    denied_by = f"admission webhook {quoted(hook)} denied the request"
    text, reason, code = result.get("message"), result.get("reason"), result.get("code")
    if text:
        message = f"{denied_by}: {text}"
    else:
        message = f"{denied_by}: {reason}" if reason else f"{denied_by} without explanation"
    is_code = isinstance(code, int) and _LOWEST_CODE <= code <= _HIGHEST_CODE
    status = result.get("status")
    completed: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": result.get("metadata") or {},
        "status": status if status and status != "Success" else "Failure",
        "message": message,
    }
    if reason:
        completed["reason"] = reason
    if result.get("details"):
        completed["details"] = result["details"]
    return {**completed, "code": code if is_code else _LOWEST_CODE}


def internal(why: object) -> InternalError:
    """500 with the reason that clients match on."""
    return InternalError(f"Internal error occurred: {why}", details={"causes": [{"message": str(why)}]})


def failure(error: APIError | CallingFailed) -> APIError:
    """What a request fails with when a call does."""
    return internal(error) if isinstance(error, CallingFailed) else error


def dry_run_unsupported(hook: str) -> BadRequest:
    return BadRequest(f"admission webhook {quoted(hook)} does not support dry run")
