"""Conversion of custom resources between versions by a webhook (``spec.conversion.strategy: Webhook``).

The webhook gets many objects at once and gives them back in another version. Of their metadata it may change labels and
annotations only; everything else is put back. Source: "Webhook conversion" of the CustomResourceDefinition documentation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from steersman.aio.clock import Clock
from steersman.apiserver import objectmeta
from steersman.apiserver.extensions.conversionmetrics import ConversionMetrics
from steersman.apiserver.webhooks.api import CallFailed, Endpoint, InvalidEndpoint, endpoint_of
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted

GROUP = "apiextensions.k8s.io"
KIND = "ConversionReview"
VERSIONS = ("v1", "v1beta1")
TIMEOUT_S = 30.0
"""Of one call."""
BATCH = 500
"""Objects in one call."""
_INVALID_OBJECT = "conversion_webhook_invalid_converted_object_failure"
_RESTORED = ("labels", "annotations")
_encoder = msgspec.json.Encoder()


class ConversionFailed(APIError):
    """500 without a reason, as upstream answers."""

    code, reason = 500, ""


class Converter(Protocol):
    """Brings objects of one definition into another version."""

    async def convert(self, objs: Sequence[Object], api_version: str) -> Sequence[Object]:
        """The objects in ``api_version``, in the same order; none of them is in it yet. Raises ``ConversionFailed``."""


class _Rejected(Exception):
    """The webhook's answer is none; ``kind`` is upstream's word for the failure, in metrics."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Response(msgspec.Struct, frozen=True):
    uid: str = ""
    result: dict[str, Any] | None = None
    convertedObjects: list[Any] | None = None


class _Review(msgspec.Struct, frozen=True):
    apiVersion: str = ""
    kind: str = ""
    response: _Response | None = None


_decoder = msgspec.json.Decoder(_Review)


class Conversions:
    """Makes converters for definitions."""

    def __init__(self, client: WebhookClient, *, clock: Clock, rng: random.Random, metrics: ConversionMetrics) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._metrics = metrics

    def of(self, crd: Object) -> Converter | None:
        """None where only the name of the version changes."""
        conversion = crd["spec"].get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return None
        return WebhookConverter(
            crd["metadata"]["name"],
            conversion.get("webhook") or {},
            self._client,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
        )


class WebhookConverter:
    """The conversion webhook of one definition."""

    def __init__(
        self,
        crd: str,
        webhook: Mapping[str, Any],
        client: WebhookClient,
        *,
        clock: Clock,
        rng: random.Random,
        metrics: ConversionMetrics,
    ) -> None:
        self._crd = crd
        self._client_config = webhook.get("clientConfig") or {}
        accepted = webhook.get("conversionReviewVersions") or ()
        self._review_version = next((version for version in accepted if version in VERSIONS), "")
        self._client = client
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._endpoint: Endpoint | None = None

    async def convert(self, objs: Sequence[Object], api_version: str) -> Sequence[Object]:
        converted: list[Object] = []
        for start in range(0, len(objs), BATCH):
            converted += await self._batch(objs[start : start + BATCH], api_version)
        return converted

    async def _batch(self, objs: Sequence[Object], api_version: str) -> Sequence[Object]:
        what = _group_version_kind(objs[0])
        versions = (_version(objs[0].get("apiVersion") or ""), _version(api_version))
        start_s = self._clock.monotonic()
        try:
            converted = await self._ask(objs, api_version)
            pairs = enumerate(zip(objs, converted, strict=True))
            alone = len(objs) == 1
            found = [_checked(obj, new, api_version, index, alone=alone) for index, (obj, new) in pairs]
        except _Rejected as error:
            elapsed_s = self._clock.monotonic() - start_s
            self._metrics.failed(self._crd, *versions, error.kind, elapsed_s)
            raise ConversionFailed(f"conversion webhook for {what} {error}") from error
        self._metrics.succeeded(self._crd, *versions, self._clock.monotonic() - start_s)
        return found

    async def _ask(self, objs: Sequence[Object], api_version: str) -> list[Any]:
        """Raises ``_Rejected``."""
        if not self._review_version:
            raise _Rejected("conversion_webhook_call_failure", "failed: no supported conversion review versions")
        uid = objectmeta.new_uid(self._rng)
        review = {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{self._review_version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objs},
            "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
        }
        try:
            self._endpoint = self._endpoint or endpoint_of(self._client_config)
            body = await self._client.post(self._endpoint, _encoder.encode(review), timeout_s=TIMEOUT_S)
            answer = _decoder.decode(body)
        except (CallFailed, InvalidEndpoint) as error:
            raise _Rejected("conversion_webhook_call_failure", f"failed: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            why = f"failed: couldn't get version/kind; json parse error: {error}"
            raise _Rejected("conversion_webhook_call_failure", why) from error
        found = self._converted(answer, uid)
        if len(found) != len(objs):
            message = f"returned {len(found)} objects, expected {len(objs)}"
            raise _Rejected("conversion_webhook_partial_response_failure", message)
        return found

    def _converted(self, review: _Review, uid: str) -> list[Any]:
        """What the answer has, where it is one. v1beta1 answers were never checked. Raises ``_Rejected``."""
        problem = ""
        response = review.response
        is_v1 = self._review_version == "v1"
        if is_v1 and (review.apiVersion, review.kind) != (f"{GROUP}/v1", KIND):
            shown = review.apiVersion if "/" in review.apiVersion else f"/{review.apiVersion}"
            problem = f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {shown}, Kind={review.kind}"
        elif response is None:
            problem = "no response provided"
        elif is_v1 and response.uid != uid:
            problem = f"expected response.uid={quoted(uid)}, got {quoted(response.uid)}"
        else:
            result = response.result or {}
            if result.get("status") == "Success":
                return response.convertedObjects or []
            problem = result.get("message") or (
                f"response.result.status was '{result.get('status') or ''}', not 'Success'"
            )
        raise _Rejected("conversion_webhook_malformed_response_failure", f"failed: {problem}")


def _checked(original: Object, converted: Any, api_version: str, index: int, *, alone: bool) -> Object:
    """``converted`` with the metadata of ``original``, but for labels and annotations. Raises ``_Rejected``."""
    place = "" if alone else f" at index {index}"
    at = f"returned invalid object{place}" if alone else f"returned invalid converted object{place}"
    try:
        if not isinstance(converted, dict):
            raise ValueError("Object 'Kind' is missing")
        got = converted.get("apiVersion") or ""
        if got != api_version:
            raise ValueError(f"invalid groupVersion (expected {api_version}, received {got})")
        if converted.get("kind") != original.get("kind"):
            raise ValueError(f"invalid kind (expected {original.get('kind')}, received {converted.get('kind') or ''})")
        given = converted.get("metadata")
        own = original.get("metadata") or {}
        _check_identity(own, given if isinstance(given, dict) else {})
    except ValueError as error:
        raise _Rejected(_INVALID_OBJECT, f"{at}: {error}") from error
    try:
        if not isinstance(given, dict):
            raise ValueError(f"invalid metadata of type {_type_name(given)} in converted object")
        return {**converted, "metadata": _restored(own, given)}
    except ValueError as error:
        where = "" if alone else f" in object{place}"
        raise _Rejected(_INVALID_OBJECT, f"returned invalid metadata{where}: {error}") from error


def _check_identity(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ``ValueError``."""
    for field, label in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        have, found = own.get(field) or "", given.get(field) or ""
        if have != found:
            raise ValueError(f"must have the same {label}: {have} != {found}")


def _restored(own: Mapping[str, Any], given: Mapping[str, Any]) -> Object:
    """Raises ``ValueError``."""
    restored = {key: value for key, value in own.items() if key not in _RESTORED}
    for field in _RESTORED:
        value = given.get(field)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise ValueError(f"invalid metadata.{field} of type {_type_name(value)} in converted object")
        for key, text in value.items():
            if not isinstance(text, str):
                raise ValueError(
                    f"metadata.{field}[{key}] must be a string, but is {_type_name(text)} in converted object"
                )
        if value != own.get(field):
            check = objectmeta.label_errors if field == "labels" else objectmeta.annotation_errors
            errors = check(value)
            if errors:
                texts = [str(error) for error in errors]
                raise ValueError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        restored[field] = value
    return restored


def _type_name(value: Any) -> str:
    """Of a JSON value as Go decodes it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def _version(api_version: str) -> str:
    return api_version.rpartition("/")[2]


def _group_version_kind(obj: Object) -> str:
    return f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"


def _conforms(converter: WebhookConverter) -> Converter:
    return converter
