"""One call of one webhook, and the accounts that are kept of it."""

from __future__ import annotations

import logging
import random

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import bindings
from steersman.apiserver.admission.matching import Versioned
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.admission.webhooks import review
from steersman.apiserver.admission.webhooks.hooks import Hook, WebhookKind
from steersman.apiserver.admission.webhooks.refusals import CallingFailed, Denied, dry_run_unsupported
from steersman.apiserver.admission.webhooks.review import Answer, EncodedObject, InvalidReview
from steersman.apiserver.objectmeta import new_uid
from steersman.apiserver.webhooks.api import CallFailed
from steersman.apiserver.webhooks.client import WebhookClient
from steersman.apiserver.webhooks.credentials import Credentials
from steersman.meta.errors import APIError, Forbidden

log = logging.getLogger(__name__)

_WITHOUT_SIDE_EFFECTS = frozenset({"None", "NoneOnDryRun"})
_DECIDED, _CALLING, _INTERNAL = "no_error", "calling_webhook_error", "apiserver_internal_error"
_STEPS: dict[WebhookKind, str] = {"admit": "admit", "validating": "validate"}


class Caller:
    """Calls webhooks of one kind."""

    def __init__(
        self,
        kind: WebhookKind,
        client: WebhookClient,
        *,
        clock: Clock,
        rng: random.Random,
        metrics: AdmissionMetrics,
        credentials: Credentials | None = None,
    ) -> None:
        self._kind: WebhookKind = kind
        self._client = client
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._credentials = credentials

    async def is_excluded(self, hook: Hook, seen: Versioned, decisions: Decisions) -> bool:
        """Whether the match conditions keep the request from the webhook. Raises ``Forbidden`` where that is not to be known."""
        request, step = seen.request, _STEPS[self._kind]
        start_s = self._clock.monotonic()
        found = await hook.conditions.evaluate(
            bindings(seen, decisions), decisions, ignores_failures=hook.ignores_failures
        )
        elapsed_s = self._clock.monotonic() - start_s
        self._metrics.match_conditions(
            hook.name, "webhook", self._kind, request.operation, failures=found.failures, seconds=elapsed_s
        )
        if found.error:
            log.warning("match conditions of webhook %s failed: %s", hook.name, found.error)
            raise Forbidden.of(request.kind.resource, request.name, found.error)
        if not found.matches:
            self._metrics.match_condition_exclusion(hook.name, "webhook", step, request.operation)
        return not found.matches

    async def ask(self, hook: Hook, seen: Versioned, obj: EncodedObject, old: EncodedObject) -> Answer:
        """What the webhook says to a request that it allows; its warnings and annotations are passed on.

        Raises ``Denied``, ``CallingFailed``, and ``BadRequest`` for a dry run that the webhook does not support.
        """
        request = seen.request
        if request.dry_run and hook.side_effects not in _WITHOUT_SIDE_EFFECTS:
            raise dry_run_unsupported(hook.name)
        version = review.version_of(hook.review_versions)
        if version is None:
            why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallingFailed(hook.name, f"could not create admission objects: {why}", 400)
        try:
            endpoint = hook.endpoint if self._credentials is None else self._credentials.of(hook.endpoint)
        except (ValueError, OSError) as error:
            raise CallingFailed(hook.name, f"could not get REST client: {error}", 500) from error
        uid = new_uid(self._rng)
        body = review.question(seen, obj, old, uid=uid, version=version)
        try:
            answered = await self._client.post(endpoint, body, timeout_s=self._timeout_s(hook, request))
        except CallFailed as error:
            raise CallingFailed(hook.name, f"failed to call webhook: {error}", error.code) from error
        try:
            answer = review.answer(answered, uid=uid, version=version, is_mutating=self._kind == "admit")
        except InvalidReview as error:
            raise CallingFailed(hook.name, f"received invalid webhook response: {error}", 503) from error
        except ValueError as error:
            raise CallingFailed(hook.name, f"failed to call webhook: {error}", 503) from error
        for key, value in answer.annotations.items():
            request.annotate(f"{hook.name}/{key}", value)
        for text in answer.warnings:
            request.warn(text)
        if not answer.allowed:
            raise Denied(hook.name, answer.status)
        return answer

    def _timeout_s(self, hook: Hook, request: AdmissionRequest) -> float | None:
        """The webhook's own, or what is left until the client stops waiting."""
        limits = [] if hook.timeout_s is None else [hook.timeout_s]
        if request.deadline_s is not None:
            limits.append(max(0.0, request.deadline_s - self._clock.monotonic()))
        return min(limits) if limits else None

    def succeeded(self, hook: Hook, operation: str, start_s: float) -> None:
        self._metrics.webhook(hook.name, self._kind, operation, False, 200, self._clock.monotonic() - start_s)

    def failed(self, hook: Hook, operation: str, start_s: float, error: APIError | CallingFailed) -> bool:
        """Keep account of a call that did not end well; whether the request goes on nevertheless."""
        elapsed_s = self._clock.monotonic() - start_s
        match error:
            case CallingFailed():
                kind, code = _CALLING, error.code
            case Denied():
                kind, code = _DECIDED, error.http_code
            case _:
                kind, code = _INTERNAL, 0
        goes_on = isinstance(error, CallingFailed) and hook.ignores_failures
        if not goes_on:
            self._metrics.webhook_rejection(hook.name, self._kind, operation, kind, code)
        self._metrics.webhook(hook.name, self._kind, operation, not goes_on, code, elapsed_s)
        if goes_on:
            log.warning("webhook %s failed, failing open: %s", hook.name, error)
            self._metrics.webhook_fail_open(hook.name, self._kind)
        return goes_on
