"""ImagePolicyWebhook: a service decides which images pods may run; what it said is remembered for a while."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.webhooks.api import CallFailed, Endpoint
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.client.kubeconfig import KubeConfig, KubeConfigError, load
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

API_VERSION = "imagepolicy.k8s.io/v1alpha1"
AUDIT_PREFIX = "imagepolicywebhook.image-policy.k8s.io/"
CACHE_SIZE = 1024
TIMEOUT_S = 30.0
TRIES = 5
_RETRIED = (429, 500, 504)
_DISABLED = -1


class _ReviewStatus(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool = False
    reason: str = ""
    audit_annotations: dict[str, str] | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    status: _ReviewStatus = _ReviewStatus()


_decoder = msgspec.json.Decoder(_Review)
_encoder = msgspec.json.Encoder()


class ImagePolicy(Struct, frozen=True, kw_only=True):
    """Durations in seconds; 0 keeps nothing."""

    kubeconfig: KubeConfig
    allow_ttl_s: float
    deny_ttl_s: float
    retry_backoff_s: float
    default_allow: bool = False
    """What a service that does not answer means."""


def image_policy(configuration: Mapping[str, Any] | None) -> ImagePolicy:
    """Raises ``AdmissionConfigurationError``."""
    section = (configuration or {}).get("imagePolicy")
    if configuration is None or not isinstance(section, dict):
        raise AdmissionConfigurationError("ImagePolicyWebhook: no config specified")
    known = {"kubeConfigFile", "allowTTL", "denyTTL", "retryBackoff", "defaultAllow"}
    unknown = [*(configuration.keys() - {"imagePolicy"}), *(section.keys() - known)]
    if unknown:
        raise AdmissionConfigurationError(f"ImagePolicyWebhook: unknown fields {', '.join(sorted(unknown))}")
    try:
        kubeconfig = load(section.get("kubeConfigFile") or "")
    except KubeConfigError as error:
        raise AdmissionConfigurationError(f"ImagePolicyWebhook: {error}") from error
    if kubeconfig.impersonate:
        raise AdmissionConfigurationError("ImagePolicyWebhook: impersonation in the kubeconfig is not supported")
    return ImagePolicy(
        kubeconfig=kubeconfig,
        allow_ttl_s=_seconds(section, "allowTTL", unit_s=1, default_s=300, least_s=1, most_s=1800),
        deny_ttl_s=_seconds(section, "denyTTL", unit_s=1, default_s=30, least_s=1, most_s=1800),
        retry_backoff_s=_seconds(section, "retryBackoff", unit_s=0.001, default_s=0.5, least_s=1e-9, most_s=300),
        default_allow=bool(section.get("defaultAllow")),
    )


def _seconds(
    section: Mapping[str, Any], name: str, *, unit_s: float, default_s: float, least_s: float, most_s: float
) -> float:
    value = section.get(name) or 0
    if not isinstance(value, int):
        raise AdmissionConfigurationError(f"ImagePolicyWebhook: {name}: {value!r} is not a whole number")
    if value == _DISABLED:
        return 0.0
    seconds = value * unit_s if value else default_s
    if not least_s <= seconds <= most_s:
        raise AdmissionConfigurationError(
            f"ImagePolicyWebhook: {name}: valid value is between {least_s}s and {most_s}s, got {seconds}s"
        )
    return seconds


class ImagePolicyWebhook:
    NAME = "ImagePolicyWebhook"
    OPERATIONS = ("CREATE", "UPDATE")

    def __init__(self, policy: ImagePolicy, webhooks: WebhookClient, *, clock: Clock, rng: random.Random) -> None:
        self._policy = policy
        self._webhooks = webhooks
        self._clock = clock
        self._rng = rng
        self._tls = policy.kubeconfig.ssl_context()
        self._answers: OrderedDict[bytes, tuple[float, _ReviewStatus]] = OrderedDict()

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.resource != PODS or request.subresource not in ("", "ephemeralcontainers"):
            return
        if request.obj is None:
            return
        try:
            answer = await self._answer(_question(request, request.obj))
        except CallFailed as error:
            if not self._policy.default_allow:
                raise refused(request, str(error)) from error
            request.annotate(f"{AUDIT_PREFIX}failed-open", "true")
            return
        for key, value in (answer.audit_annotations or {}).items():
            request.annotate(f"{AUDIT_PREFIX}{key}", value)
        if not answer.allowed:
            why = "one or more images rejected by webhook backend"
            if answer.reason:
                why = f"image policy webhook backend denied one or more images: {answer.reason}"
            raise refused(request, why)

    async def _answer(self, question: Object) -> _ReviewStatus:
        key = _encoder.encode(question)
        kept = self._answers.get(key)
        if kept is not None and kept[0] > self._clock.monotonic():
            self._answers.move_to_end(key)
            return kept[1]
        answer = await self._asked(question)
        ttl_s = self._policy.allow_ttl_s if answer.allowed else self._policy.deny_ttl_s
        self._answers[key] = (self._clock.monotonic() + ttl_s, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > CACHE_SIZE:
            self._answers.popitem(last=False)
        return answer

    async def _asked(self, question: Object) -> _ReviewStatus:
        """Raises ``CallFailed``, after a few tries where the service only seems to be busy."""
        review = {"kind": "ImageReview", "apiVersion": API_VERSION, "metadata": {}, "spec": question, "status": {}}
        body = _encoder.encode(review)
        backoff = Backoff(initial_s=self._policy.retry_backoff_s, factor=1.5, jitter=0.2, cap_s=3600, rng=self._rng)
        for tries_left in reversed(range(TRIES)):
            try:
                text = await self._webhooks.post(self._endpoint(), body, timeout_s=TIMEOUT_S)
                break
            except CallFailed as error:
                if not tries_left or error.code not in _RETRIED:
                    raise
            await self._clock.sleep(backoff.next())
        try:
            answer = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise CallFailed(f"the answer is no ImageReview: {error}") from error
        if (answer.kind, answer.api_version) != ("ImageReview", API_VERSION):
            raise CallFailed(f'no kind "{answer.kind}" is registered for version "{answer.api_version}"')
        return answer.status

    def _endpoint(self) -> Endpoint:
        config = self._policy.kubeconfig
        try:
            token = Path(config.token_file).read_text().strip() if config.token_file else config.token
        except OSError as error:
            raise CallFailed(f"failed to read token file {config.token_file!r}: {error.strerror}") from error
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return Endpoint(url=config.server, tls=self._tls, server_name=config.tls_server_name, headers=headers)


def _question(request: AdmissionRequest, pod: Object) -> Object:
    fields = ("ephemeralContainers",) if request.subresource else ("containers", "initContainers")
    spec = pod.get("spec") or {}
    containers = [
        {"image": container["image"]} if container.get("image") else {}
        for name in fields
        for container in spec.get(name) or ()
    ]
    told = {key: value for key, value in objects.annotations(pod).items() if ".image-policy.k8s.io/" in key}
    question: dict[str, Any] = {"containers": containers}
    if told:
        question["annotations"] = dict(sorted(told.items()))
    if request.namespace:
        question["namespace"] = request.namespace
    return question


def _conforms(policy: ImagePolicy, webhooks: WebhookClient, clock: Clock, rng: random.Random) -> ValidatingPlugin:
    return ImagePolicyWebhook(policy, webhooks, clock=clock, rng=rng)
