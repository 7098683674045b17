"""MutatingAdmissionWebhook: webhooks that change objects, one after the other, each seeing what the ones before it did.

Source: "Dynamic Admission Control" in the Kubernetes documentation; reinvocation is KEP-492's.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.matching import Target, Versioned, Versions, is_exempt, kind_of
from steersman.apiserver.admission.webhooks import review
from steersman.apiserver.admission.webhooks.calling import Caller
from steersman.apiserver.admission.webhooks.hooks import Candidate, Hook, Hooks
from steersman.apiserver.admission.webhooks.patching import operations_of, patched
from steersman.apiserver.admission.webhooks.refusals import CallingFailed, failure, internal
from steersman.apiserver.admission.webhooks.review import EncodedObject
from steersman.apiserver.authz.api import Authorizer
from steersman.meta.errors import APIError
from steersman.meta.objects import Object

_MUTATION = "mutation.webhook.admission.k8s.io"
_PATCH = "patch.webhook.admission.k8s.io"
_encoder = msgspec.json.Encoder()


class _Rounds(Struct):
    """What is known from one round to the next: who was asked, and who has to be asked again."""

    output: Object | None = None
    """The object as the webhooks left it."""
    asked: set[str] = field(default_factory=set)
    """Webhooks with ``reinvocationPolicy: IfNeeded`` after which nothing has changed yet."""
    due: set[str] = field(default_factory=set)

    def changed(self) -> None:
        """Everybody asked so far has seen another object than there is now."""
        self.due |= self.asked
        self.asked.clear()


class _Current:
    """The request as it is between two webhooks: converted only when the next one wants another version."""

    def __init__(self, request: AdmissionRequest, versions: Versions) -> None:
        self._request = request
        self._versions = versions
        self._own = kind_of(request.kind, request.subresource)
        self._kind = self._own
        self._given_old = request.old
        self.obj = EncodedObject(request.obj)
        self.old = EncodedObject(request.old)

    async def seen(self, target: Target) -> Versioned:
        """Raises ``InternalError`` where the object cannot be converted."""
        if target.kind != self._kind:
            await self._convert(target)
        return Versioned(request=self._request, target=target, obj=self.obj.obj, old=self.old.obj)

    async def _convert(self, target: Target) -> None:
        convert, kind = self._versions.convert, self._request.kind
        try:
            obj, old = self.obj.obj, self._given_old
            if obj is not None and self._kind != self._own:
                obj = await convert(kind, obj, self._own)
            if target.kind != self._own:
                obj = None if obj is None else await convert(kind, obj, target.kind)
                old = None if old is None else await convert(kind, old, target.kind)
        except APIError as error:
            raise internal(error.message) from error
        self._kind, self.obj, self.old = target.kind, EncodedObject(obj), EncodedObject(old)
        self._request.obj = obj

    def replace(self, obj: Object) -> None:
        self.obj = EncodedObject(obj)
        self._request.obj = obj

    async def settle(self) -> Object | None:
        """The object in the version of the request."""
        own = Target(self._request.kind.resource, self._own)
        return (await self.seen(own)).obj


class MutatingAdmissionWebhook:
    NAME = "MutatingAdmissionWebhook"

    def __init__(
        self, hooks: Hooks, caller: Caller, versions: Versions, authorizer: Authorizer, *, reader: Reader, clock: Clock
    ) -> None:
        self._hooks = hooks
        self._caller = caller
        self._versions = versions
        self._authorizer = authorizer
        self._reader = reader
        self._clock = clock

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        candidates = self._hooks.matching(request)
        if not candidates or is_exempt(request):
            return None
        given = request.obj
        rounds: _Rounds = request.memory.setdefault(self.NAME, _Rounds())
        if request.round and rounds.output is not given and rounds.output != given:
            rounds.changed()
        current = _Current(request, self._versions)
        decisions = Decisions(self._authorizer, request.user)
        for candidate in candidates:
            await self._consider(candidate, request, current, rounds, decisions)
        rounds.output = await current.settle()
        return None if rounds.output is given else rounds.output

    async def _consider(
        self,
        candidate: Candidate,
        request: AdmissionRequest,
        current: _Current,
        rounds: _Rounds,
        decisions: Decisions,
    ) -> None:
        hook = candidate.hook
        if not hook.matcher.selects(request, self._reader):
            return
        seen = None
        if hook.has_conditions:
            seen = await current.seen(candidate.target)
            if await self._caller.is_excluded(hook, seen, decisions):
                return
        if request.round and hook.uid not in rounds.due:
            return
        if await self._call(candidate, seen or await current.seen(candidate.target), current):
            rounds.changed()
            request.must_reinvoke = True
        if hook.is_reinvoked:
            rounds.asked.add(hook.uid)

    async def _call(self, candidate: Candidate, seen: Versioned, current: _Current) -> bool:
        """Whether the webhook changed the object. Raises what the request fails with."""
        hook, request, start_s, changed = candidate.hook, seen.request, self._clock.monotonic(), False
        place = f"round_{request.round}_index_{candidate.index}"
        try:
            answer = await self._caller.ask(hook, seen, current.obj, current.old)
            operations = operations_of(hook.name, answer)
            if operations:
                new = patched(
                    hook.name, seen.obj, operations, kind=request.kind, of=seen.target.kind, versions=self._versions
                )
                changed = new != seen.obj
                request.annotate(f"{_PATCH}/{place}", _annotation(hook, patch=operations, patchType=review.JSON_PATCH))
                current.replace(new)
        except (CallingFailed, APIError) as error:
            if not self._caller.failed(hook, request.operation, start_s, error):
                raise failure(error) from None
            request.annotate(f"failed-open.{_MUTATION}/{place}", hook.name)
        else:
            self._caller.succeeded(hook, request.operation, start_s)
        finally:
            request.annotate(f"{_MUTATION}/{place}", _annotation(hook, mutated=changed))
        return changed


def _annotation(hook: Hook, **content: Any) -> str:
    return _encoder.encode({"configuration": hook.configuration, "webhook": hook.name, **content}).decode()


def _conforms(
    hooks: Hooks, caller: Caller, versions: Versions, authorizer: Authorizer, reader: Reader, clock: Clock
) -> MutatingPlugin:
    return MutatingAdmissionWebhook(hooks, caller, versions, authorizer, reader=reader, clock=clock)
