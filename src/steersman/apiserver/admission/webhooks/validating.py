"""ValidatingAdmissionWebhook: webhooks that say yes or no, all at once.

Source: "Dynamic Admission Control" in the Kubernetes documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.matching import GroupVersionKind, Versioned, Versions, is_exempt, versioned
from steersman.apiserver.admission.webhooks.calling import Caller
from steersman.apiserver.admission.webhooks.hooks import Candidate, Hook, Hooks
from steersman.apiserver.admission.webhooks.refusals import CallingFailed, failure, internal
from steersman.apiserver.admission.webhooks.review import EncodedObject
from steersman.apiserver.authz.api import Authorizer
from steersman.meta.errors import APIError

_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io"


class _Seen(Struct, frozen=True, kw_only=True):
    """The request in one version, encoded once for all webhooks that want this version."""

    versioned: Versioned
    obj: EncodedObject
    old: EncodedObject


class ValidatingAdmissionWebhook:
    NAME = "ValidatingAdmissionWebhook"

    def __init__(
        self, hooks: Hooks, caller: Caller, versions: Versions, authorizer: Authorizer, *, reader: Reader, clock: Clock
    ) -> None:
        self._hooks = hooks
        self._caller = caller
        self._versions = versions
        self._authorizer = authorizer
        self._reader = reader
        self._clock = clock

    async def validate(self, request: AdmissionRequest) -> None:
        candidates = self._hooks.matching(request)
        if not candidates or is_exempt(request):
            return
        calls = await self._relevant(request, candidates)
        if not calls:
            return
        failures: list[APIError] = []

        async def call(index: int, hook: Hook, seen: _Seen) -> None:
            error = await self._call(index, hook, seen)
            if error is not None:
                failures.append(error)

        if len(calls) == 1:
            await call(0, *calls[0])
        else:
            async with asyncio.TaskGroup() as group:
                for index, (hook, seen) in enumerate(calls):
                    group.create_task(call(index, hook, seen), name=f"validating webhook {hook.name}")
        if failures:
            raise failures[0]

    async def _relevant(
        self, request: AdmissionRequest, candidates: Sequence[Candidate]
    ) -> Sequence[tuple[Hook, _Seen]]:
        """The webhooks to call and what they are shown. Raises ``APIError``."""
        decisions = Decisions(self._authorizer, request.user)
        views: dict[GroupVersionKind, _Seen] = {}
        calls: list[tuple[Hook, _Seen]] = []
        for candidate in candidates:
            hook, target = candidate.hook, candidate.target
            if not hook.matcher.selects(request, self._reader):
                continue
            view = views.get(target.kind)
            if view is None:
                try:
                    seen = await versioned(request, target, self._versions)
                except APIError as error:
                    raise internal(error.message) from error
                view = _Seen(versioned=seen, obj=EncodedObject(seen.obj), old=EncodedObject(seen.old))
                views[target.kind] = view
            elif view.versioned.target != target:
                seen = Versioned(request=request, target=target, obj=view.obj.obj, old=view.old.obj)
                view = _Seen(versioned=seen, obj=view.obj, old=view.old)
            if not (hook.has_conditions and await self._caller.is_excluded(hook, view.versioned, decisions)):
                calls.append((hook, view))
        return calls

    async def _call(self, index: int, hook: Hook, seen: _Seen) -> APIError | None:
        """What the request fails with."""
        request, start_s = seen.versioned.request, self._clock.monotonic()
        try:
            await self._caller.ask(hook, seen.versioned, seen.obj, seen.old)
        except (CallingFailed, APIError) as error:
            if not self._caller.failed(hook, request.operation, start_s, error):
                return failure(error)
            request.annotate(f"{_FAILED_OPEN}/round_0_index_{index}", hook.name)
        else:
            self._caller.succeeded(hook, request.operation, start_s)
        return None


def _conforms(
    hooks: Hooks, caller: Caller, versions: Versions, authorizer: Authorizer, reader: Reader, clock: Clock
) -> ValidatingPlugin:
    return ValidatingAdmissionWebhook(hooks, caller, versions, authorizer, reader=reader, clock=clock)
