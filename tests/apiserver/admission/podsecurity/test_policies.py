"""Policies: labels, their defaults and faults; the configuration file."""

from __future__ import annotations

import pytest

from steersman.apiserver.admission.configuration import AdmissionConfigurationError
from steersman.apiserver.admission.podsecurity.configuration import (
    PodSecurityConfiguration,
    configuration_of,
)
from steersman.apiserver.admission.podsecurity.policies import (
    LATEST,
    PREFIX,
    PRIVILEGED,
    Policy,
    Standard,
    Unknown,
    parse_version,
    policy_of,
)


def _said(policy: Policy) -> str:
    return f"{policy.enforce} {policy.audit} {policy.warn}"


@pytest.mark.parametrize(
    ("labels", "expected", "faults"),
    [
        ({}, "privileged:latest privileged:latest privileged:latest", []),
        ({"enforce": "baseline"}, "baseline:latest privileged:latest baseline:latest", []),
        ({"enforce": "baseline", "enforce-version": "v1.22"}, "baseline:v1.22 privileged:latest baseline:v1.22", []),
        (
            {"enforce": "baseline", "enforce-version": "v1.22", "warn-version": "v1.30"},
            "baseline:v1.22 privileged:latest baseline:v1.30",
            [],
        ),
        (
            {"enforce": "baseline", "warn": "privileged", "audit": "restricted"},
            "baseline:latest restricted:latest privileged:latest",
            [],
        ),
        ({"enforce-version": "v1.3"}, "privileged:v1.3 privileged:latest privileged:latest", []),
        ({"enforce": "x"}, "restricted:latest privileged:latest privileged:latest", ["enforce"]),
        (
            {"audit": "x", "warn": "y", "audit-version": "1.2"},
            "privileged:latest privileged:latest privileged:latest",
            ["audit", "audit-version", "warn"],
        ),
    ],
)
def test_labels(labels: dict[str, str], expected: str, faults: list[str]) -> None:
    policy, errors = policy_of({f"{PREFIX}{name}": value for name, value in labels.items()}, PRIVILEGED)
    assert _said(policy) == expected
    assert [error.field for error in errors] == [f"metadata.labels[{PREFIX}{name}]" for name in faults]


def test_faults_are_worded_as_upstreams() -> None:
    _, errors = policy_of({f"{PREFIX}enforce": "x", f"{PREFIX}enforce-version": "1"}, PRIVILEGED)
    assert [str(error) for error in errors] == [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, '
        "restricted",
        'metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "1": must be "latest" or "v1.x"',
    ]


@pytest.mark.parametrize("text", ["v1", "1.2", "v2.0", "v1.02", "v1.x", "", "v1.-1", "v1.²"])
def test_no_versions(text: str) -> None:
    with pytest.raises(Unknown):
        parse_version(text)


def test_versions() -> None:
    assert [parse_version(text) for text in ("v1.0", "v1.36", "latest")] == [0, 36, LATEST]


def test_the_configuration_file() -> None:
    found = configuration_of(
        {
            "apiVersion": "pod-security.admission.config.k8s.io/v1",
            "kind": "PodSecurityConfiguration",
            "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted"},
            "exemptions": {"usernames": ["joe"], "namespaces": ["kube-system"], "runtimeClasses": ["vm"]},
        }
    )
    assert found.defaults == Policy(
        enforce=Standard(level="baseline", version=30), warn=Standard(level="restricted", version=LATEST)
    )
    assert [*found.usernames, *found.namespaces, *found.runtime_classes] == ["joe", "kube-system", "vm"]
    assert configuration_of(None) == PodSecurityConfiguration()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"apiVersion": "v1"}, "is not a PodSecurityConfiguration"),
        ({"default": {}}, "unknown fields default"),
        ({"defaults": {"enforced": "baseline"}}, "unknown fields defaults.enforced"),
        ({"defaults": {"enforce": "x"}}, 'defaults.enforce: Invalid value: "x"'),
        ({"defaults": {"warn-version": "1"}}, 'defaults.warn-version: Invalid value: "1"'),
        ({"exemptions": {"usernames": [""]}}, "username must not be empty"),
        ({"exemptions": {"namespaces": ["a", "a"]}}, r'exemptions.namespaces\[1\]: Duplicate value: "a"'),
        ({"exemptions": {"runtimeClasses": ["A"]}}, r"exemptions.runtimeClasses\[0\]: Invalid value"),
    ],
)
def test_faults_of_the_configuration(part: dict[str, object], message: str) -> None:
    made = {"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration", **part}
    with pytest.raises(AdmissionConfigurationError, match=message):
        configuration_of(made)
