"""MutatingAdmissionPolicy: policies in CEL that change objects, one after the other, each seeing what the ones before it did.

Source: "Mutating Admission Policy" in the Kubernetes documentation (KEP-3962).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import bindings as values_of
from steersman.apiserver.admission.matching import GroupVersionKind, Target, Versioned, kind_of
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.admission.policies.active import ActivePolicies, Candidate
from steersman.apiserver.admission.policies.evaluating import Evaluation
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.admission.policies.metrics import PolicyMetrics
from steersman.apiserver.admission.policies.mutations import Failed, MutatingPolicy, mutated
from steersman.apiserver.admission.policies.namespaces import namespace_of
from steersman.apiserver.admission.policies.params import Misconfigured, param_resource, params_of
from steersman.apiserver.admission.policies.policy import Binding
from steersman.apiserver.admission.policies.refusals import Refusal, denied_by_mutation
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.served import resolving
from steersman.meta.errors import APIError
from steersman.meta.objects import Object

_Key = tuple[str, str, str, str]


class _Invocation(Struct, frozen=True, kw_only=True):
    """One policy by one binding with one parameter."""

    policy: MutatingPolicy
    binding: Binding
    target: Target
    param: Object | None

    @property
    def key(self) -> _Key:
        metadata = (self.param or {}).get("metadata") or {}
        return self.policy.name, self.binding.name, metadata.get("namespace") or "", metadata.get("name") or ""


class _Rounds(Struct):
    """What is known from one round to the next."""

    output: Object | None = None
    """The object as the policies left it."""
    invoked: set[_Key] = field(default_factory=set)
    """Those with ``reinvocationPolicy: IfNeeded`` after which nothing has changed yet."""
    due: set[_Key] = field(default_factory=set)

    def changed(self) -> None:
        self.due |= self.invoked
        self.invoked.clear()


class _Current:
    """The object between two policies: converted only when the next one wants another version."""

    def __init__(self, request: AdmissionRequest, kinds: PolicyKinds) -> None:
        self.request = request
        self.obj = request.obj
        self._kinds = kinds
        self._own = kind_of(request.kind, request.subresource)
        self._kind = self._own
        self._olds: dict[GroupVersionKind, Object | None] = {self._own: request.old}

    async def seen(self, target: Target) -> Versioned:
        """Raises ``APIError`` where the object cannot be converted."""
        self.obj = await self._converted(self.obj, self._kind, target.kind)
        self._kind = target.kind
        if target.kind not in self._olds:
            self._olds[target.kind] = await self._converted(self.request.old, self._own, target.kind)
        return Versioned(request=self.request, target=target, obj=self.obj, old=self._olds[target.kind])

    async def _converted(self, obj: Object | None, of: GroupVersionKind, to: GroupVersionKind) -> Object | None:
        if obj is None or of == to:
            return obj
        return await self._kinds.convert(self.request.kind, obj, to)

    async def settled(self) -> Object | None:
        """The object in the version of the request."""
        return (await self.seen(Target(self.request.kind.resource, self._own))).obj


class MutatingAdmissionPolicy:
    NAME = "MutatingAdmissionPolicy"

    def __init__(
        self,
        policies: ActivePolicies[MutatingPolicy],
        kinds: PolicyKinds,
        authorizer: Authorizer,
        *,
        reader: Reader,
        clock: Clock,
        metrics: PolicyMetrics,
        admission_metrics: AdmissionMetrics,
    ) -> None:
        self._policies = policies
        self._kinds = kinds
        self._authorizer = authorizer
        self._reader = reader
        self._clock = clock
        self._metrics = metrics
        self._admission_metrics = admission_metrics

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        if request.operation == "DELETE":
            return None
        candidates = self._policies.matching(request)
        if not candidates:
            return None
        refusals: list[Refusal] = []
        current = _Current(request, self._kinds)
        invocations = [
            invocation
            for candidate in candidates
            for invocation in await self._invocations(candidate, current, refusals)
        ]
        if invocations:
            await self._invoke(invocations, current, refusals)
        if refusals:
            raise denied_by_mutation(request, refusals)
        new = await current.settled()
        return None if new is request.obj else new

    # -- which

    async def _invocations(
        self, candidate: Candidate[MutatingPolicy], current: _Current, refusals: list[Refusal]
    ) -> Sequence[_Invocation]:
        policy, request = candidate.active.policy, current.request
        try:
            if not policy.matcher.selects(request, self._reader):
                return ()
            resource = param_resource(policy, self._kinds)
        except (APIError, Misconfigured) as error:
            self._refuse(policy, None, f"failed to configure policy: {error}", refusals)
            return ()
        found: list[_Invocation] = []
        for binding in candidate.active.bindings:
            try:
                if binding.matcher is not None and binding.matcher.match(request, self._kinds, self._reader) is None:
                    continue
                params = await resolving(partial(params_of, binding, resource, request, self._reader))
            except (APIError, Misconfigured) as error:
                self._refuse(policy, binding, f"failed to configure binding: {error}", refusals)
                continue
            found += [
                _Invocation(policy=policy, binding=binding, target=candidate.target, param=param) for param in params
            ]
        return found

    def _refuse(
        self, policy: MutatingPolicy, binding: Binding | None, message: str, refusals: list[Refusal], reason: str = ""
    ) -> None:
        if not policy.ignores_failures:
            name = "" if binding is None else binding.name
            refusals.append(Refusal(policy=policy.name, binding=name, message=message, reason=reason))

    # -- what

    async def _invoke(self, invocations: Sequence[_Invocation], current: _Current, refusals: list[Refusal]) -> None:
        request = current.request
        rounds: _Rounds = request.memory.setdefault(self.NAME, _Rounds())
        if request.round and rounds.output is not request.obj and rounds.output != request.obj:
            rounds.changed()
        namespace = namespace_of(request, self._reader)
        decisions = Decisions(self._authorizer, request.user)
        has_mutated = False
        for invocation in invocations:
            try:
                seen = await current.seen(invocation.target)
            except APIError as error:
                self._refuse(invocation.policy, None, f"failed to configure policy: {error}", refusals)
                continue
            if not await self._applies(invocation, seen, decisions, refusals):
                continue
            if request.round and invocation.key not in rounds.due:
                continue
            before = current.obj
            has_mutated |= await self._mutate(invocation, current, namespace, decisions, refusals)
            if current.obj is not before and current.obj != before:
                rounds.changed()
                request.must_reinvoke = True
            if invocation.policy.is_reinvoked:
                rounds.invoked.add(invocation.key)
        if has_mutated:
            rounds.changed()
            request.must_reinvoke = True
        rounds.output = await current.settled()

    async def _applies(
        self, invocation: _Invocation, seen: Versioned, decisions: Decisions, refusals: list[Refusal]
    ) -> bool:
        policy, operation = invocation.policy, seen.request.operation
        if not policy.conditions.conditions:
            return True
        start_s = self._clock.monotonic()
        met = await policy.conditions.evaluate(
            values_of(seen, decisions, params=invocation.param), decisions, ignores_failures=policy.ignores_failures
        )
        elapsed_s = self._clock.monotonic() - start_s
        self._admission_metrics.match_conditions(
            policy.name, "policy", "validate", operation, failures=met.failures, seconds=elapsed_s
        )
        if met.error:
            self._refuse(policy, invocation.binding, met.error, refusals, "Invalid")
        elif not met.matches:
            self._admission_metrics.match_condition_exclusion(policy.name, "policy", "validate", operation)
        return met.matches

    async def _mutate(
        self,
        invocation: _Invocation,
        current: _Current,
        namespace: Object | None,
        decisions: Decisions,
        refusals: list[Refusal],
    ) -> bool:
        """All mutations of one policy, in order; whether one took place. Raises ``APIError`` that no policy can ignore."""
        policy, binding = invocation.policy, invocation.binding
        has_mutated = False
        for mutation in policy.mutations:
            seen = await current.seen(invocation.target)
            if seen.obj is None:
                continue
            values = values_of(seen, decisions, namespace=namespace, params=invocation.param)
            evaluation = Evaluation(policy.variables, values, decisions, authorizer=True)
            start_s, message = self._clock.monotonic(), ""
            try:
                current.obj = await mutated(mutation, seen, evaluation, self._kinds)
                has_mutated = True
            except Failed as error:
                message = str(error)
                self._refuse(policy, binding, message, refusals, "Invalid")
            except APIError as error:
                message = error.message
                raise
            finally:
                elapsed_s = self._clock.monotonic() - start_s
                self._metrics.mutated(policy.name, binding.name, message, elapsed_s)
        return has_mutated


def _conforms(plugin: MutatingAdmissionPolicy) -> MutatingPlugin:
    return plugin
