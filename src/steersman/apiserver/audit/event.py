"""What is recorded of one request: an ``audit.k8s.io/v1`` Event that grows with the request's stages.

Objects are encoded when they are seen: what happens to them afterwards is not what was requested.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from steersman.apiserver.audit.policy import AuditDecision, Stage
from steersman.apiserver.authn.api import User
from steersman.apiserver.requestinfo import RequestInfo
from steersman.meta.times import format_micro_time
from steersman.meta.wire import Request

if TYPE_CHECKING:
    from steersman.apiserver.call import Call

USER_AGENT_LIMIT = 1024
TRUNCATED_ANNOTATION = "audit.k8s.io/truncated"
_encoder = msgspec.json.Encoder()
_STATUS_FIELDS = ("status", "message", "reason", "details", "code")


class AuditEvent(Struct, frozen=True, dict=True):
    """One stage of one request. ``fields`` are without ``apiVersion`` and ``kind``, as in a list."""

    fields: Mapping[str, Any]

    @cached_property
    def json(self) -> bytes:
        return _encoder.encode(self.fields)

    @property
    def line(self) -> bytes:
        """With ``apiVersion`` and ``kind``, as it stands alone."""
        return b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",' + self.json[1:]

    def truncated(self) -> AuditEvent:
        """Without the objects, and saying so."""
        kept = {name: value for name, value in self.fields.items() if name not in ("requestObject", "responseObject")}
        kept["annotations"] = {**(kept.get("annotations") or {}), TRUNCATED_ANNOTATION: "true"}
        return AuditEvent(kept)


class AuditRecord(Struct, kw_only=True):
    """The state of one request's events. ``Call.audit`` is None where nothing is recorded."""

    decision: AuditDecision
    received_s: float
    """Wall-clock time, seconds."""
    request: Request
    info: RequestInfo
    audit_id: str
    user: User
    status: Mapping[str, Any] | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    """What the request's body adds to ``objectRef``."""
    request_object: msgspec.Raw | None = None
    response_object: msgspec.Raw | None = None

    def requested(self, obj: Any) -> None:
        """The object that a request brings, before anything is done to it."""
        if isinstance(obj, dict):
            metadata = obj.get("metadata")
            if isinstance(metadata, dict):
                for name, source in (("namespace", "namespace"), ("name", "name"), ("uid", "uid"), ("resourceVersion", "resourceVersion")):  # fmt: skip
                    if isinstance(metadata.get(source), str) and metadata[source]:
                        self.reference[name] = metadata[source]
        self.patched(self._without_managed_fields(obj))

    def patched(self, patch: Any) -> None:
        """The patch that a request brings."""
        if self.decision.reaches("Request"):
            self.request_object = msgspec.Raw(_encoder.encode(patch))

    def responded(self, obj: Any) -> None:
        """The object, list or Status that is answered."""
        if isinstance(obj, dict) and obj.get("kind") == "Status" and obj.get("apiVersion") == "v1":
            self.status = {"metadata": {}, **{name: obj[name] for name in _STATUS_FIELDS if obj.get(name)}}
        if self.decision.reaches("RequestResponse"):
            self.response_object = msgspec.Raw(_encoder.encode(self._without_managed_fields(obj)))

    def answered(self, code: int) -> None:
        self.status = {"metadata": {}, **(self.status or {}), "code": code}

    def event(self, stage: Stage, now_s: float, call: Call | None = None) -> AuditEvent:
        """The event of a stage that begins at ``now_s``."""
        fields: dict[str, Any] = {
            "level": self.decision.level,
            "auditID": self.audit_id,
            "stage": stage,
            "requestURI": _uri(self.request),
            "verb": self.info.verb,
            "user": user_info(self.user),
        }
        if call is not None and call.impersonator is not None:
            fields["impersonatedUser"] = user_info(call.user)
            if call.impersonation_constraint:
                fields["authenticationMetadata"] = {"impersonationConstraint": call.impersonation_constraint}
        fields["sourceIPs"] = source_addresses(self.request)
        agent = self.request.headers.get("user-agent", "")
        if agent:
            fields["userAgent"] = agent if len(agent) <= USER_AGENT_LIMIT else f"{agent[:USER_AGENT_LIMIT]}...TRUNCATED"
        if self.info.is_resource:
            fields["objectRef"] = self._object_reference()
        if self.status is not None:
            fields["responseStatus"] = self.status
        if self.request_object is not None:
            fields["requestObject"] = self.request_object
        if self.response_object is not None:
            fields["responseObject"] = self.response_object
        fields["requestReceivedTimestamp"] = format_micro_time(self.received_s)
        fields["stageTimestamp"] = format_micro_time(now_s if stage != "RequestReceived" else self.received_s)
        annotations = {**self.annotations, **(call.annotations if call is not None else {})}
        if annotations:
            fields["annotations"] = annotations
        return AuditEvent(fields)

    def _object_reference(self) -> dict[str, str]:
        info, more = self.info, self.reference
        found = {
            "resource": info.resource,
            "namespace": info.namespace or more.get("namespace", ""),
            "name": info.name or more.get("name", ""),
            "uid": more.get("uid", ""),
            "apiGroup": info.group,
            "apiVersion": info.version,
            "resourceVersion": more.get("resourceVersion", ""),
            "subresource": info.subresource,
        }
        return {name: value for name, value in found.items() if value}

    def _without_managed_fields(self, obj: Any) -> Any:
        if not self.decision.omit_managed_fields or not isinstance(obj, dict):
            return obj
        if isinstance(obj.get("items"), list):
            return {**obj, "items": [_bare(item) for item in obj["items"]]}
        if obj.get("kind") == "Table":
            return {**obj, "rows": [{**row, "object": _bare(row.get("object"))} for row in obj.get("rows") or ()]}
        return _bare(obj)


def _bare(obj: Any) -> Any:
    if not isinstance(obj, dict) or "managedFields" not in (obj.get("metadata") or {}):
        return obj
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def user_info(user: User) -> dict[str, Any]:
    found: dict[str, Any] = {"username": user.name} if user.name else {}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def source_addresses(request: Request) -> list[str]:
    """Where the request came from, by way of whom; all but the last are what the client says."""
    found = [address for text in request.headers.get("x-forwarded-for", "").split(",") if (address := _address(text))]
    real = _address(request.headers.get("x-real-ip", ""))
    if real and real not in found:
        found.append(real)
    peer = _address(request.peer.address)
    if peer and found[-1:] != [peer]:
        found.append(peer)
    return found


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def _uri(request: Request) -> str:
    path = request.raw_path or request.path
    if request.raw_query:
        return f"{path}?{request.raw_query}"
    if not request.query:
        return path
    from urllib.parse import urlencode

    return f"{path}?{urlencode(request.query, doseq=True)}"
