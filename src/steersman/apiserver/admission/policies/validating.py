"""ValidatingAdmissionPolicy: policies in CEL that deny requests, warn about them, or leave a note in the audit event.

Source: "Validating Admission Policy" in the Kubernetes documentation (KEP-3488).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import bindings as values_of
from steersman.apiserver.admission.matching import Versioned, versioned
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.apiserver.admission.policies.active import ActivePolicies, Candidate
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.admission.policies.metrics import PolicyMetrics
from steersman.apiserver.admission.policies.namespaces import namespace_of
from steersman.apiserver.admission.policies.params import Misconfigured, param_resource, params_of
from steersman.apiserver.admission.policies.policy import Binding
from steersman.apiserver.admission.policies.refusals import Refusal, denied_by_validation
from steersman.apiserver.admission.policies.verdicts import Decision, ValidatingPolicy, Verdict, failure, verdict
from steersman.apiserver.authz.api import Authorizer
from steersman.apiserver.served import resolving
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

_FAILURE_KEY = "validation.policy.admission.k8s.io/validation_failure"
_MAX_ANNOTATION_BYTES = 10 * 1024
_encoder = msgspec.json.Encoder()


class _Hearing(Struct, kw_only=True):
    """One request before all policies."""

    request: AdmissionRequest
    decisions: Decisions
    refusals: list[Refusal] = field(default_factory=list)


class ValidatingAdmissionPolicy:
    NAME = "ValidatingAdmissionPolicy"

    def __init__(
        self,
        policies: ActivePolicies[ValidatingPolicy],
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

    async def validate(self, request: AdmissionRequest) -> None:
        candidates = self._policies.matching(request)
        if not candidates:
            return
        hearing = _Hearing(request=request, decisions=Decisions(self._authorizer, request.user))
        for candidate in candidates:
            await self._hear(candidate, hearing)
        if hearing.refusals:
            raise denied_by_validation(request, hearing.refusals[0])

    async def _hear(self, candidate: Candidate[ValidatingPolicy], hearing: _Hearing) -> None:
        policy = candidate.active.policy
        try:
            if not policy.matcher.selects(hearing.request, self._reader):
                return
            resource = param_resource(policy, self._kinds)
        except (APIError, Misconfigured) as error:
            self._refuse_misconfigured(policy, None, str(error), hearing)
            return
        annotations: dict[str, list[str]] = {}
        seen: Versioned | None = None
        for binding in candidate.active.bindings:
            try:
                params = await resolving(partial(self._params, binding, resource, hearing.request))
                if params and seen is None:
                    seen = await self._seen(candidate, hearing.request)
            except (APIError, Misconfigured) as error:
                self._refuse_misconfigured(policy, binding, str(error), hearing)
                continue
            for param in params:
                assert seen is not None
                found = await self._verdict(policy, seen, param, hearing.decisions)
                self._enforce(policy, binding, found, hearing)
                for key, value in found.annotations:
                    _add(annotations.setdefault(key, []), value)
        for key, values in annotations.items():
            hearing.request.annotate(f"{policy.name}/{key}", ", ".join(values))

    def _params(self, binding: Binding, resource: Resource | None, request: AdmissionRequest) -> list[Object | None]:
        """Empty: the binding does not apply. Raises ``Misconfigured`` and ``APIError``."""
        if binding.matcher is not None and binding.matcher.match(request, self._kinds, self._reader) is None:
            return []
        return list(params_of(binding, resource, request, self._reader))

    async def _seen(self, candidate: Candidate[ValidatingPolicy], request: AdmissionRequest) -> Versioned:
        try:
            return await versioned(request, candidate.target, self._kinds)
        except APIError as error:
            raise Misconfigured(f"failed to convert object version: {error}") from error

    async def _verdict(
        self, policy: ValidatingPolicy, seen: Versioned, param: Object | None, decisions: Decisions
    ) -> Verdict:
        """Raises ``NotFound`` where the request's namespace is not there."""
        namespace = namespace_of(seen.request, self._reader)
        if policy.conditions.conditions:
            start_s = self._clock.monotonic()
            met = await policy.conditions.evaluate(
                values_of(seen, decisions, params=param), decisions, ignores_failures=policy.ignores_failures
            )
            operation, elapsed_s = seen.request.operation, self._clock.monotonic() - start_s
            self._admission_metrics.match_conditions(
                policy.name, "policy", "validate", operation, failures=met.failures, seconds=elapsed_s
            )
            if met.error:
                return Verdict(decisions=(failure(policy, met.error),))
            if not met.matches:
                self._admission_metrics.match_condition_exclusion(policy.name, "policy", "validate", operation)
                return Verdict()
        return await verdict(
            policy, values_of(seen, decisions, namespace=namespace, params=param), decisions, self._clock
        )

    def _enforce(self, policy: ValidatingPolicy, binding: Binding, found: Verdict, hearing: _Hearing) -> None:
        for decision in found.decisions:
            if decision.denies:
                for action in binding.actions:
                    self._act(action, policy, binding, decision, hearing)
            elif decision.outcome == "failed open":
                self._metrics.validated(policy.name, binding.name, decision.message, "allow", decision.seconds)
        for error in found.annotation_errors:
            self._act("Deny", policy, binding, error, hearing)

    def _act(
        self, action: str, policy: ValidatingPolicy, binding: Binding, decision: Decision, hearing: _Hearing
    ) -> None:
        names = (policy.name, binding.name)
        match action:
            case "Deny":
                hearing.refusals.append(
                    Refusal(policy=policy.name, binding=binding.name, message=decision.message, reason=decision.reason)
                )
                self._metrics.validated(*names, decision.message, "deny", decision.seconds)
            case "Warn":
                where = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
                hearing.request.warn(f"Validation failed for {where}: {decision.message}")
                self._metrics.validated(*names, decision.message, "warn", decision.seconds)
            case "Audit":
                hearing.request.annotate(_FAILURE_KEY, _audited(binding, decision))
                self._metrics.validated(*names, decision.message, "audit", decision.seconds)

    def _refuse_misconfigured(
        self, policy: ValidatingPolicy, binding: Binding | None, why: str, hearing: _Hearing
    ) -> None:
        if policy.ignores_failures:
            return
        what = "policy" if binding is None else "binding"
        hearing.refusals.append(
            Refusal(
                policy=policy.name,
                binding="" if binding is None else binding.name,
                message=f"failed to configure {what}: {why}",
            )
        )


def _add(values: list[str], value: str) -> None:
    cut = value.encode()[:_MAX_ANNOTATION_BYTES].decode(errors="ignore")
    if cut not in values:
        values.append(cut)


def _audited(binding: Binding, decision: Decision) -> str:
    content: Mapping[str, object] = {
        "message": decision.message,
        "policy": binding.policy,
        "binding": binding.name,
        "expressionIndex": decision.index,
        "validationActions": binding.actions,
    }
    return _encoder.encode([content]).decode()


def _conforms(plugin: ValidatingAdmissionPolicy) -> ValidatingPlugin:
    return plugin
