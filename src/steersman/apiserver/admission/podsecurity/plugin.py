"""PodSecurity: pods are what the labels of their namespace allow; templates and label changes are warned about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from steersman.apiserver.admission.podsecurity.evaluation import NEWEST, violations
from steersman.apiserver.admission.podsecurity.policies import LATEST, PREFIX, Policy, Standard, policy_of
from steersman.apiserver.admission.podsecurity.subjects import Subject, Violation
from steersman.meta import objects
from steersman.meta.errors import FieldError, Forbidden, InternalError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    PODTEMPLATES,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)

MOST_PODS = 3000
LONGEST_S = 1.0
"""How many pods are looked at, and for how long, when a namespace becomes stricter."""
THIS_VERSION = 36
_IGNORED = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
_PATHS: Mapping[Resource, Sequence[str]] = {
    PODTEMPLATES: ("template",),
    **dict.fromkeys(
        (REPLICATIONCONTROLLERS, REPLICASETS, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, JOBS), ("spec", "template")
    ),
    CRONJOBS: ("spec", "jobTemplate", "spec", "template"),
}
"""Where the template of a pod is."""


class PodSecurity:
    NAME = "PodSecurity"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS, NAMESPACES, *_PATHS)

    def __init__(
        self,
        reader: Reader,
        *,
        clock: Clock,
        registry: CollectorRegistry,
        configuration: PodSecurityConfiguration,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._configuration = configuration
        self._metrics = _Metrics(registry)
        self._policies: dict[tuple[tuple[str, str], ...], tuple[Policy, list[FieldError]]] = {}

    async def validate(self, request: AdmissionRequest) -> None:
        resource = request.kind.resource
        if request.operation not in ("CREATE", "UPDATE") or request.obj is None:
            return
        if resource == PODS:
            self._check_pod(request, request.obj)
        elif resource == NAMESPACES:
            if not request.subresource:
                self._check_namespace(request, request.obj)
        elif resource in _PATHS and not request.subresource:
            self._check_template(request, request.obj)

    # -- pods and templates

    def _check_pod(self, request: AdmissionRequest, pod: Object) -> None:
        if request.subresource in _IGNORED or self._is_exempt(request):
            return
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            self._metrics.failed(request, is_fatal=True)
            raise InternalError(f'Internal error occurred: failed to lookup namespace "{request.namespace}"')
        policy, errors = self._policy(objects.labels(namespace))
        if not errors and policy.is_privileged:
            self._metrics.evaluated(request, "allow", policy.enforce, "enforce")
            request.annotate(f"{PREFIX}enforce-policy", "privileged:latest")
            return
        if request.operation == "UPDATE" and not is_significant(pod, request.old or {}):
            return
        self._evaluate(request, policy, errors, pod, enforces=True)

    def _check_template(self, request: AdmissionRequest, obj: Object) -> None:
        if self._is_exempt(request):
            return
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            self._metrics.failed(request, is_fatal=True)
            request.annotate(f"{PREFIX}error", f'failed to lookup namespace "{request.namespace}"')
            return
        policy, errors = self._policy(objects.labels(namespace))
        if not errors and policy.warn.level == policy.audit.level == "privileged":
            return
        template: Any = obj
        for field in _PATHS[request.kind.resource]:
            template = (template or {}).get(field)
        if template is not None:
            self._evaluate(request, policy, errors, template, enforces=False)

    def _evaluate(
        self, request: AdmissionRequest, policy: Policy, errors: Sequence[FieldError], pod: Object, *, enforces: bool
    ) -> None:
        """Enforce, note and warn. Raises ``Forbidden``."""
        subject = Subject.of(pod)
        if self._is_exempt_runtime_class(pod):
            self._metrics.exempted(request)
            request.annotate(f"{PREFIX}exempt", "runtimeClass")
            return
        if errors:
            self._metrics.failed(request, is_fatal=False)
            request.annotate(f"{PREFIX}error", f"Failed to parse policy: {_joined(errors)}")
        found: dict[Standard, list[Violation]] = {}
        refusal: Forbidden | None = None
        if enforces:
            request.annotate(f"{PREFIX}enforce-policy", str(policy.enforce))
            faults = found[policy.enforce] = violations(policy.enforce, subject)
            self._metrics.evaluated(request, "deny" if faults else "allow", policy.enforce, "enforce")
            if faults:
                why = f'violates PodSecurity "{policy.enforce}": {_details(faults)}'
                refusal = Forbidden.of(request.kind.resource, request.name, why)
        if policy.audit not in found:
            found[policy.audit] = violations(policy.audit, subject)
        if found[policy.audit]:
            text = f'would violate PodSecurity "{policy.audit}": {_details(found[policy.audit])}'
            request.annotate(f"{PREFIX}audit-violations", text)
            self._metrics.evaluated(request, "deny", policy.audit, "audit")
        if refusal is not None:
            raise refusal
        if policy.warn not in found:
            found[policy.warn] = violations(policy.warn, subject)
        if found[policy.warn]:
            request.warn(f'would violate PodSecurity "{policy.warn}": {_details(found[policy.warn])}')
            self._metrics.evaluated(request, "deny", policy.warn, "warn")

    def _is_exempt(self, request: AdmissionRequest) -> bool:
        if request.namespace in self._configuration.namespaces:
            reason = "namespace"
        elif request.user.name in self._configuration.usernames:
            reason = "user"
        else:
            return False
        self._metrics.exempted(request)
        request.annotate(f"{PREFIX}exempt", reason)
        return True

    def _is_exempt_runtime_class(self, pod: Object) -> bool:
        return ((pod.get("spec") or {}).get("runtimeClassName") or "") in self._configuration.runtime_classes

    def _policy(self, labels: Mapping[str, str]) -> tuple[Policy, list[FieldError]]:
        """The policy of labels; few namespaces have others than the rest."""
        key = tuple(sorted((name, value) for name, value in labels.items() if name.startswith(PREFIX)))
        found = self._policies.get(key)
        if found is None:
            if len(self._policies) > 1000:
                self._policies.clear()
            found = self._policies[key] = policy_of(dict(key), self._configuration.defaults)
        return found

    # -- namespaces

    def _check_namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        policy, errors = self._policy(objects.labels(namespace))
        name = objects.name(namespace)
        is_exempt = name in self._configuration.namespaces
        if request.operation == "CREATE":
            if errors:
                raise Invalid.of("Namespace", "", request.name, errors)
            if is_exempt:
                self._warn_of_exemption(request, policy, namespace)
            return
        old, old_errors = self._policy(objects.labels(request.old or {}))
        if errors and errors != old_errors:
            raise Invalid.of("Namespace", "", request.name, errors)
        if policy.enforce == old.enforce or policy.enforce.level == "privileged":
            return
        if policy.enforce.version == old.enforce.version and not policy.enforce.is_stricter_than(old.enforce):
            return
        if is_exempt:
            self._warn_of_exemption(request, policy, namespace)
            return
        for text in self._warnings_of_pods(request, name, policy.enforce):
            request.warn(text)

    def _warn_of_exemption(self, request: AdmissionRequest, policy: Policy, namespace: Object) -> None:
        if policy.is_privileged or policy.is_equivalent(self._configuration.defaults):
            return
        labels = objects.labels(namespace)
        said = [
            f"{mode}={standard}"
            for mode, standard in (("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn))
            if standard.level != "privileged" and (f"{PREFIX}{mode}" in labels or f"{PREFIX}{mode}-version" in labels)
        ]
        request.warn(
            f'namespace "{objects.name(namespace)}" is exempt from Pod Security, and the policy ({", ".join(said)}) will be '
            "ignored"
        )

    def _warnings_of_pods(self, request: AdmissionRequest, namespace: str, standard: Standard) -> list[str]:
        """Which pods would not be let in any more; one of each controller first, not too many, not for too long."""
        now_s = self._clock.monotonic()
        end_s = now_s + LONGEST_S
        if request.deadline_s is not None:
            end_s = min(end_s, now_s + (request.deadline_s - now_s) / 2)
        pods = prioritized(self._reader.list(PODS, namespace), self._is_exempt_runtime_class)
        faulty: dict[str, list[str]] = {}
        checked = 0
        for pod in pods[:MOST_PODS]:
            checked += 1
            found = violations(standard, Subject.of(pod))
            if found:
                faulty.setdefault(", ".join(fault.reason for fault in found), []).append(objects.name(pod))
            if self._clock.monotonic() >= end_s:
                break
        texts = []
        if checked < len(pods):
            texts.append(
                f"new PodSecurity enforce level only checked against the first {checked} of {len(pods)} existing pods"
            )
        if faulty:
            texts.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
            )
        return texts + sorted(f"{_pods(names)}: {reasons}" for reasons, names in faulty.items())


def _pods(names: Sequence[str]) -> str:
    first, others = min(names), len(names) - 1
    if not others:
        return first
    return f"{first} (and {others} other pod{'' if others == 1 else 's'})"


def _details(faults: Sequence[Violation]) -> str:
    return ", ".join(map(str, faults))


def _joined(errors: Sequence[FieldError]) -> str:
    texts = [str(error) for error in errors]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def is_significant(pod: Object, old: Object) -> bool:
    """The update changes what checks look at: images, or what containers there are."""
    spec, old_spec = pod.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        new, before = spec.get(field) or (), old_spec.get(field) or ()
        if len(new) != len(before):
            return True
        if any(entry.get("image") != other.get("image") for entry, other in zip(new, before, strict=True)):
            return True
    known = {entry.get("name"): entry.get("image") for entry in old_spec.get("ephemeralContainers") or ()}
    return any(
        entry.get("name") not in known or known[entry.get("name")] != entry.get("image")
        for entry in spec.get("ephemeralContainers") or ()
    )


def prioritized(pods: Sequence[Object], is_exempt: Callable[[Object], bool]) -> list[Object]:
    """One pod of each controller before the others."""
    first: list[Object] = []
    others: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        if is_exempt(pod):
            continue
        controller = objects.controller_of(pod)
        uid = "" if controller is None else str(controller.get("uid"))
        if uid and uid in seen:
            others.append(pod)
            continue
        first.append(pod)
        if uid:
            seen.add(uid)
    return first + others


class _Metrics:
    """``pod_security_*``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        common = ("request_operation", "resource", "subresource")
        self._evaluations = Counter(
            "pod_security_evaluations",
            "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
            ("decision", "policy_level", "policy_version", "mode", *common),
            registry=registry,
        )
        self._exemptions = Counter(
            "pod_security_exemptions",
            "Number of exempt requests, not counting ignored or out of scope requests.",
            common,
            registry=registry,
        )
        self._errors = Counter(
            "pod_security_errors",
            "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest restricted profile "
            "being used for evaluation.",
            ("fatal", *common),
            registry=registry,
        )
        self._children: dict[tuple[str, ...], Any] = {}

    def evaluated(self, request: AdmissionRequest, decision: str, standard: Standard, mode: str) -> None:
        version = "latest"
        if standard.version != LATEST and standard.level != "privileged":
            version = f"v1.{standard.version}" if standard.version <= THIS_VERSION else "future"
        key = (decision, standard.level, version, mode, *_labels(request))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._evaluations.labels(*key)
        child.inc()

    def exempted(self, request: AdmissionRequest) -> None:
        self._exemptions.labels(*_labels(request)).inc()

    def failed(self, request: AdmissionRequest, *, is_fatal: bool) -> None:
        self._errors.labels("true" if is_fatal else "false", *_labels(request)).inc()


def _labels(request: AdmissionRequest) -> tuple[str, str, str]:
    resource = request.kind.resource
    kind = "pod" if resource == PODS else "namespace" if resource == NAMESPACES else "controller"
    return request.operation.lower(), kind, request.subresource


assert NEWEST <= THIS_VERSION


def _conforms(
    reader: Reader, clock: Clock, registry: CollectorRegistry, configuration: PodSecurityConfiguration
) -> ValidatingPlugin:
    return PodSecurity(reader, clock=clock, registry=registry, configuration=configuration)
