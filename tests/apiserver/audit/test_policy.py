"""Which requests a policy records, and what is wrong with policies that are none."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.apiserver.audit.policy import InvalidPolicy, load, parse
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes


def _policy(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}


def _of_resource(**more: Any) -> Attributes:
    given = {"user": User(name="tim", groups=("humans",)), "verb": "update", "namespace": "default", "resource": "pods"}
    return Attributes(**{**given, "name": "a", **more})


def _of_path(path: str = "/logs/a", user: str = "tim") -> Attributes:
    return Attributes(user=User(name=user, groups=("humans",)), verb="get", path=path, is_resource=False)


@pytest.mark.parametrize(
    ("rule", "attributes", "matches"),
    [
        ({}, _of_resource(), True),
        ({"users": ["tim"]}, _of_resource(), True),
        ({"users": ["ann"]}, _of_resource(), False),
        ({"userGroups": ["humans", "x"]}, _of_resource(), True),
        ({"userGroups": ["x"]}, _of_resource(), False),
        ({"users": ["tim"], "userGroups": ["x"]}, _of_resource(), False),
        ({"verbs": ["update", "patch"]}, _of_resource(), True),
        ({"verbs": ["get"]}, _of_resource(), False),
        ({"namespaces": ["default"]}, _of_resource(), True),
        ({"namespaces": ["other"]}, _of_resource(), False),
        ({"namespaces": [""]}, _of_resource(namespace="", resource="nodes"), True),
        ({"namespaces": ["default"]}, _of_path(), False),
        ({"resources": [{"group": ""}]}, _of_resource(), True),
        ({"resources": [{"group": "apps"}]}, _of_resource(), False),
        ({"resources": [{"group": "*"}]}, _of_resource(), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, _of_resource(), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, _of_resource(subresource="log"), False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, _of_resource(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, _of_resource(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, _of_resource(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, _of_resource(), False),
        ({"resources": [{"group": "", "resources": ["*"]}]}, _of_resource(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]}, _of_resource(), True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["b"]}]}, _of_resource(), False),
        ({"nonResourceURLs": ["/logs*"]}, _of_path(), True),
        ({"nonResourceURLs": ["/logs"]}, _of_path(), False),
        ({"nonResourceURLs": ["/logs/a"]}, _of_path(), True),
        ({"nonResourceURLs": ["*"]}, _of_path(), True),
        ({"nonResourceURLs": ["*"]}, _of_resource(), False),
        ({"resources": [{"group": "*"}]}, _of_path(), False),
    ],
)
def test_rules(rule: dict[str, Any], attributes: Attributes, matches: bool) -> None:
    policy = parse(_policy({"level": "Request", **rule}))
    assert policy.decide(attributes).level == ("Request" if matches else "None")


def test_the_first_rule_that_matches_decides() -> None:
    policy = parse(
        _policy(
            {"level": "None", "users": ["tim"], "omitStages": ["Panic"], "omitManagedFields": False},
            {"level": "Metadata"},
            omitStages=["RequestReceived"],
            omitManagedFields=True,
        )
    )
    first, second = policy.decide(_of_resource()), policy.decide(_of_path(user="ann"))
    assert (first.level, sorted(first.omit_stages), first.omit_managed_fields) == (
        "None",
        ["Panic", "RequestReceived"],
        False,
    )
    assert (second.level, sorted(second.omit_stages), second.omit_managed_fields) == (
        "Metadata",
        ["RequestReceived"],
        True,
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[", "failed decoding"),
        ("a", "the document is no object"),
        ("{kind: Policy, apiVersion: audit.k8s.io/v1beta1, rules: [{level: None}]}", "unknown group version field"),
        ("{kind: Policy, apiVersion: audit.k8s.io/v1}", "loaded illegal policy with 0 rules"),
        ("{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{}]}", r"rules\[0\].level: Required value"),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: All}]}",
            r'rules\[0\].level: Unsupported value: "All": supported values: "None", "Metadata", "Request", "RequestResponse"',
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: None, nonResourceURLs: [logs]}]}",
            "non-resource URL rules must begin with a '/' character",
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: None, nonResourceURLs: ['/a*b']}]}",
            "wildcards '\\*' must be the final character",
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]}",
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: None, resources: [{group: apps/v1}]}]}",
            r"rules\[0\].resources\[0\].group: Invalid value",
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: None, resources: [{resourceNames: [a]}]}]}",
            "using resourceNames requires at least one resource",
        ),
        (
            "{kind: Policy, apiVersion: audit.k8s.io/v1, omitStages: [End], rules: [{level: None}]}",
            r'omitStages\[0\]: Invalid value: "End": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic',
        ),
    ],
)
def test_what_is_no_policy(document: str, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        load(document)


def test_fields_that_mean_nothing_are_told() -> None:
    policy = parse(_policy({"level": "None", "levels": 1, "resources": [{"group": "", "verbs": []}]}, rulez=[]))
    assert policy.unknown_fields == ("rulez", "rules[0].levels", "rules[0].resources[0].verbs")
