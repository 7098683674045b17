"""``/healthz``, ``/livez``, ``/readyz``: named checks, all together or one by one.

Source: "Kubernetes API health endpoints" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.metrics.health import HealthMetrics
from steersman.apiserver.router import PathHandler, not_found
from steersman.meta.wire import Response


class HealthCheck(Struct, frozen=True, kw_only=True):
    """``failure()`` says what is wrong, an empty string when nothing is. It must be quick."""

    name: str
    failure: Callable[[], str]


def healthy() -> str:
    return ""


PING = HealthCheck(name="ping", failure=healthy)


class HealthEndpoint:
    """One of the three endpoints, e.g. ``readyz``, with its checks in the order in which they are shown."""

    def __init__(self, name: str, checks: Sequence[HealthCheck], metrics: HealthMetrics | None = None) -> None:
        self._name = name
        self._metrics = metrics
        self._checks = tuple(checks)

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {f"/{self._name}": self.serve}

    @property
    def listed(self) -> list[str]:
        """The paths of single checks."""
        return [f"/{self._name}/{check.name}" for check in self._checks]

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {f"/{self._name}/": self.serve_one}

    def failing(self) -> list[str]:
        """Names of the checks that fail now."""
        return [check.name for check in self._checks if check.failure()]

    async def serve(self, call: Call) -> Response:
        query = call.request.query
        excluded = set(query.get("exclude", ()))
        unknown = excluded - {check.name for check in self._checks}
        lines: list[str] = []
        failed = False
        for check in self._checks:
            if check.name in excluded:
                lines.append(f"[+]{check.name} excluded: ok")
                continue
            failure = check.failure()
            if self._metrics is not None:
                self._metrics.observe(check.name, self._name, is_healthy=not failure)
            if failure:
                failed = True
                lines.append(f"[-]{check.name} failed: reason withheld")
            else:
                lines.append(f"[+]{check.name} ok")
        if unknown:
            listed = ",".join(f'"{name}"' for name in sorted(unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        if failed:
            lines.append(f"{self._name} check failed")
            return respond.text(call, "\n".join(lines) + "\n", status=500)
        if "verbose" not in query:
            return respond.text(call, "ok")
        lines.append(f"{self._name} check passed")
        return respond.text(call, "\n".join(lines) + "\n")

    async def serve_one(self, call: Call) -> Response:
        name = call.info.path.removeprefix(f"/{self._name}/")
        for check in self._checks:
            if check.name == name:
                failure = check.failure()
                if failure:
                    return respond.text(call, f"internal server error: {failure}\n", status=500)
                return respond.text(call, "ok")
        return not_found(call)
