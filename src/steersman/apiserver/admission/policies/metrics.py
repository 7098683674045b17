"""Metrics of admission policies, under upstream's names.

Source: kube-apiserver's metrics of validating and of mutating admission policies.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from steersman.apiserver.admission.metrics import Latencies

_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)
Enforcement = Literal["allow", "deny", "audit", "warn"]


class PolicyMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("policy", "policy_binding", "error_type")
        self._validations = Counter(
            "apiserver_validating_admission_policy_check",
            "Validation admission policy check total, labeled by policy and further identified by binding and enforcement "
            "action taken.",
            (*labels, "enforcement_action"),
            registry=registry,
        )
        self._validation_latencies = Latencies(
            "apiserver_validating_admission_policy_check_duration_seconds",
            "Validation admission latency for individual validation expressions in seconds, labeled by policy and further "
            "including binding and enforcement action taken.",
            (*labels, "enforcement_action"),
            _BUCKETS,
        )
        self._mutations = Counter(
            "apiserver_mutating_admission_policy_check",
            "Mutation admission policy check total, labeled by policy and further identified by binding.",
            labels,
            registry=registry,
        )
        self._mutation_latencies = Latencies(
            "apiserver_mutating_admission_policy_check_duration_seconds",
            "Mutation admission latency for individual mutation expressions in seconds, labeled by policy and binding.",
            labels,
            _BUCKETS,
        )
        registry.register(self._validation_latencies)
        registry.register(self._mutation_latencies)

    def validated(self, policy: str, binding: str, message: str, action: Enforcement, seconds: float) -> None:
        """``message`` says what went wrong."""
        labels = (policy, binding, error_type(message), action)
        self._validations.labels(*labels).inc()
        self._validation_latencies.observe(labels, seconds)

    def mutated(self, policy: str, binding: str, message: str, seconds: float) -> None:
        """``message`` is empty where the mutation took place."""
        labels = (policy, binding, error_type(message) if message else "no_error")
        self._mutations.labels(*labels).inc()
        self._mutation_latencies.observe(labels, seconds)


def error_type(message: str) -> str:
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"
