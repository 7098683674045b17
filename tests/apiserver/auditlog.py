"""An audit log file, for tests of what a request was annotated with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steersman.apiserver.audit.configuration import AuditConfig, AuditLog
from steersman.apiserver.audit.policy import parse

EVERYTHING = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


@dataclass(frozen=True, slots=True)
class AuditLogFile:
    path: Path

    @property
    def config(self) -> AuditConfig:
        """Every request that was answered, as metadata, written before the answer goes out."""
        return AuditConfig(policy=parse(EVERYTHING), log=AuditLog(path=str(self.path)))

    def last(self, verb: str, resource: str) -> dict[str, str]:
        """The annotations of the last answered request of this kind."""
        events: list[dict[str, Any]] = [json.loads(line) for line in self.path.read_text().splitlines()]
        found = [
            event
            for event in events
            if event["stage"] == "ResponseComplete"
            and (event["verb"], (event.get("objectRef") or {}).get("resource")) == (verb, resource)
        ]
        annotations: dict[str, str] = found[-1].get("annotations") or {}
        return annotations
