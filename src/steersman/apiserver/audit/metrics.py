"""Metrics of audit, under upstream's names."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from steersman.apiserver.audit.event import AuditEvent

log = logging.getLogger(__name__)


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "apiserver_audit_event",
            "Counter of audit events generated and sent to the audit backend.",
            registry=registry,
        )
        self._levels = Counter(
            "apiserver_audit_level",
            "Counter of policy levels for audit events (1 per request).",
            ("level",),
            registry=registry,
        )
        self._errors = Counter(
            "apiserver_audit_error",
            "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
            ("plugin",),
            registry=registry,
        )
        self._rejected = Counter(
            "apiserver_audit_requests_rejected",
            "Counter of apiserver requests rejected due to an error in audit logging backend.",
            registry=registry,
        )

    def event(self) -> None:
        self._events.inc()

    def level(self, level: str) -> None:
        self._levels.labels(level).inc()

    def rejected(self) -> None:
        self._rejected.inc()

    def failed(self, plugin: str, error: object, impacted: Sequence[AuditEvent]) -> None:
        """Events that were not recorded; they are named in this program's own log."""
        self._errors.labels(plugin).inc(len(impacted))
        lost = ", ".join(f"{event.fields['auditID']} {event.fields['stage']}" for event in impacted[:10])
        log.error("audit plugin %s lost %d events: %s: %s", plugin, len(impacted), error, lost)
