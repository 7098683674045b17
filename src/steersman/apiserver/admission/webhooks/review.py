"""AdmissionReview: the question that a webhook is sent, and what of its answer counts.

Source: ``admission.k8s.io`` v1 and v1beta1 in the API reference; a v1 answer is checked strictly, a v1beta1 one is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from steersman.apiserver.admission.evaluation import kind_value, resource_value, user_value
from steersman.apiserver.admission.matching import Versioned, kind_of
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted

GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
KIND = "AdmissionReview"
JSON_PATCH = "JSONPatch"
_encoder = msgspec.json.Encoder()


class InvalidReview(Exception):
    """An answer that cannot be taken as one; ``str()`` is upstream's text."""


class _Response(msgspec.Struct, frozen=True):
    uid: str = ""
    allowed: bool = False
    status: dict[str, Any] | None = None
    patch: bytes | None = None
    patchType: str | None = None
    auditAnnotations: dict[str, str] | None = None
    warnings: list[str] | None = None


class _Review(msgspec.Struct, frozen=True):
    apiVersion: str = ""
    kind: str = ""
    response: _Response | None = None


_decoder = msgspec.json.Decoder(_Review)


class EncodedObject:
    """An object of a request as JSON, encoded when it is first needed and then shared by all webhooks of its version."""

    __slots__ = ("_json", "obj")

    def __init__(self, obj: Object | None) -> None:
        self.obj = obj
        self._json: msgspec.Raw | None = None

    @property
    def json(self) -> msgspec.Raw:
        if self._json is None:
            self._json = msgspec.Raw(_encoder.encode(self.obj))
        return self._json


class Answer(Struct, frozen=True, kw_only=True):
    """What a webhook said."""

    allowed: bool
    status: Object | None = None
    patch: bytes = b""
    patch_type: str = JSON_PATCH
    annotations: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def version_of(accepted: Sequence[str]) -> str | None:
    """The first of the versions that a webhook accepts which this server sends."""
    return next((version for version in accepted if version in VERSIONS), None)


def question(seen: Versioned, obj: EncodedObject, old: EncodedObject, *, uid: str, version: str) -> bytes:
    """The body of a call about ``seen``, whose objects are ``obj`` and ``old``."""
    request, target = seen.request, seen.target
    asked: dict[str, Any] = {
        "uid": uid,
        "kind": kind_value(target.kind),
        "resource": resource_value(target.resource),
    }
    if request.subresource:
        asked["subResource"] = request.subresource
    asked["requestKind"] = kind_value(kind_of(request.kind, request.subresource))
    asked["requestResource"] = resource_value(request.kind.resource)
    if request.subresource:
        asked["requestSubResource"] = request.subresource
    if request.name:
        asked["name"] = request.name
    if request.namespace:
        asked["namespace"] = request.namespace
    asked |= {
        "operation": request.operation,
        "userInfo": user_value(request.user),
        "object": obj.json,
        "oldObject": old.json,
        "dryRun": request.dry_run,
        "options": dict(request.options) or None,
    }
    return _encoder.encode({"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": asked})


def answer(body: bytes, *, uid: str, version: str, is_mutating: bool) -> Answer:
    """Raises ``InvalidReview``, and ``ValueError`` for what is no AdmissionReview in JSON."""
    review = decoded(body, version)
    response = review.response
    if response is None:
        raise InvalidReview("webhook response was absent")
    if version == "v1":
        _check(review, response, uid, is_mutating)
    return Answer(
        allowed=response.allowed,
        status=response.status,
        patch=(response.patch or b"") if is_mutating else b"",
        patch_type=(version == "v1" and response.patchType) or JSON_PATCH,
        annotations=response.auditAnnotations or {},
        warnings=response.warnings or (),
    )


def decoded(body: bytes, version: str) -> _Review:
    """Raises ``ValueError``."""
    try:
        review = _decoder.decode(body)
    except RecursionError as error:
        raise ValueError("exceeded max depth") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"couldn't get version/kind; json parse error: {error}") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"couldn't get version/kind; json parse error: json: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"couldn't get version/kind; json parse error: {error}") from error
    expected = f"{GROUP}/{version}"
    if (review.apiVersion or expected, review.kind or KIND) != (expected, KIND):
        raise ValueError(f"{_group_version_kind(review)} is not {_shown(expected, KIND)}")
    return review


def _check(review: _Review, response: _Response, uid: str, is_mutating: bool) -> None:
    if response.uid != uid:
        raise InvalidReview(f"expected response.uid={quoted(uid)}, got {quoted(response.uid)}")
    expected = _shown(f"{GROUP}/v1", KIND)
    if _group_version_kind(review) != expected:
        raise InvalidReview(f"expected webhook response of {expected}, got {_group_version_kind(review)}")
    if not is_mutating:
        if response.patch:
            raise InvalidReview("validating webhook may not return response.patch")
        if response.patchType is not None:
            raise InvalidReview("validating webhook may not return response.patchType")
        return
    if response.patch and response.patchType is None:
        raise InvalidReview("webhook returned response.patch but not response.patchType")
    if not response.patch and response.patchType is not None:
        raise InvalidReview("webhook returned response.patchType but not response.patch")
    if response.patchType == "":
        raise InvalidReview('webhook returned invalid response.patchType of ""')


def _group_version_kind(review: _Review) -> str:
    return _shown(review.apiVersion, review.kind)


def _shown(api_version: str, kind: str) -> str:
    """Go's text of a GroupVersionKind; without a group there is nothing before the slash."""
    return f"{api_version if '/' in api_version else '/' + api_version}, Kind={kind}"
