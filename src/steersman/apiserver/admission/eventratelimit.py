"""EventRateLimit: nobody floods the store with Events, counted by server, namespace, user, or source and object."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.errors import aggregated
from steersman.meta.errors import FieldError, TooManyRequests, invalid, not_supported
from steersman.meta.resources import EVENTS

_API_VERSION = "eventratelimit.admission.k8s.io/v1alpha1"
CACHE_SIZE = 4096
"""Buckets that a limit keeps where its configuration does not say; the least recently used one goes first."""


class EventLimit(Struct, frozen=True, kw_only=True):
    type: str
    qps: int
    burst: int
    cache_size: int = CACHE_SIZE


def _source_and_object(request: AdmissionRequest) -> str:
    event = request.obj or {}
    source, about = event.get("source") or {}, event.get("involvedObject") or {}
    parts = [source.get(name) for name in ("component", "host")]
    parts += [about.get(name) for name in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


_KEYS: Mapping[str, Callable[[AdmissionRequest], str]] = {
    "Server": lambda request: "",
    "Namespace": lambda request: request.namespace,
    "User": lambda request: request.user.name,
    "SourceAndObject": _source_and_object,
}


def event_limits(configuration: Mapping[str, Any] | None) -> Sequence[EventLimit]:
    """``limits`` of a Configuration. Raises ``AdmissionConfigurationError``."""
    if configuration is None:
        return ()
    if configuration.get("apiVersion") != _API_VERSION or configuration.get("kind") != "Configuration":
        raise AdmissionConfigurationError(
            f"EventRateLimit: {configuration.get('kind')!r} of {configuration.get('apiVersion')!r} is not a Configuration"
        )
    errors: list[FieldError] = []
    limits = [
        _limit(entry, f"limits[{index}]", errors) for index, entry in enumerate(configuration.get("limits") or ())
    ]
    if not limits:
        errors.append(invalid("limits", [], "must not be empty"))
    if errors:
        raise AdmissionConfigurationError(f"EventRateLimit: {aggregated([str(error) for error in errors])}")
    return limits


def _limit(entry: Mapping[str, Any], path: str, errors: list[FieldError]) -> EventLimit:
    unknown = entry.keys() - {"type", "qps", "burst", "cacheSize"}
    if unknown:
        raise AdmissionConfigurationError(f"EventRateLimit: {path}: unknown fields {', '.join(sorted(unknown))}")
    kind = entry.get("type") or ""
    if kind not in _KEYS:
        errors.append(not_supported(f"{path}.type", kind, _KEYS))
    numbers = {}
    for name in ("burst", "qps", "cacheSize"):
        number = numbers[name] = entry.get(name) or 0
        if not isinstance(number, int):
            raise AdmissionConfigurationError(f"EventRateLimit: {path}.{name}: {number!r} is not a whole number")
        if name != "cacheSize" and number <= 0:
            errors.append(invalid(f"{path}.{name}", number, "must be positive"))
        elif number < 0 and kind != "Server":
            errors.append(invalid(f"{path}.{name}", number, "must not be negative"))
    return EventLimit(
        type=kind, qps=numbers["qps"], burst=numbers["burst"], cache_size=numbers["cacheSize"] or CACHE_SIZE
    )


class _Bucket:
    """Holds up to ``burst`` tokens, refilled at ``qps`` a second."""

    __slots__ = ("at_s", "tokens")

    def __init__(self, tokens: float, at_s: float) -> None:
        self.tokens = tokens
        self.at_s = at_s

    def takes(self, limit: EventLimit, now_s: float) -> bool:
        self.tokens = min(float(limit.burst), self.tokens + (now_s - self.at_s) * limit.qps)
        self.at_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class _Enforcer:
    def __init__(self, limit: EventLimit) -> None:
        self.limit = limit
        self.key_of = _KEYS[limit.type]
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def accepts(self, key: str, now_s: float) -> bool:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.limit.burst, now_s)
            if len(self._buckets) > self.limit.cache_size:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.takes(self.limit, now_s)


class EventRateLimit:
    """Only Events of the core group are counted, as upstream does; dry runs are not."""

    NAME = "EventRateLimit"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (EVENTS,)

    def __init__(self, limits: Sequence[EventLimit], *, clock: Clock) -> None:
        self._enforcers = [_Enforcer(limit) for limit in limits]
        self._clock = clock

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.resource != EVENTS or request.dry_run:
            return
        now_s = self._clock.monotonic()
        failures = []
        for enforcer in self._enforcers:
            key = enforcer.key_of(request)
            if not enforcer.accepts(key, now_s):
                failures.append(f"limit reached on type {enforcer.limit.type} for key {key}")
        if failures:
            raise TooManyRequests(f"Too many requests: {aggregated(failures)}")


def _conforms(clock: Clock) -> ValidatingPlugin:
    return EventRateLimit((), clock=clock)
