"""Structures in messages look as Go prints them."""

from __future__ import annotations

from steersman.meta.errors import render_value
from steersman.schema import goforms


def test_internal_types_show_every_field_by_its_go_name() -> None:
    toleration = goforms.internal("core.v1.Toleration", {"effect": "NoSchedule", "key": "a"})
    assert render_value(toleration) == (
        '{"Key":"a","Operator":"","Value":"","Effect":"NoSchedule","TolerationSeconds":null}'
    )


def test_structures_within_are_shown_the_same_way() -> None:
    policy = goforms.internal("batch.v1.SuccessPolicy", {"rules": [{"succeededCount": 1}]})
    assert render_value(policy) == '{"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}'
    assert render_value(goforms.internal("batch.v1.SuccessPolicy", {})) == '{"Rules":null}'


def test_initialisms_and_orders_of_internal_types() -> None:
    port = goforms.internal("core.v1.ServicePort", {"port": 80, "protocol": "TCP"})
    assert list(port) == ["Name", "Protocol", "AppProtocol", "Port", "TargetPort", "NodePort"]
    assert list(goforms.internal("core.v1.SecurityContext", {}))[:3] == ["Capabilities", "Privileged", "SELinuxOptions"]


def test_types_of_meta_have_the_form_of_the_api() -> None:
    selector = {"matchExpressions": [{"operator": "In", "key": "a"}], "matchLabels": {"b": "1", "a": "2"}}
    written = '{"matchLabels":{"a":"2","b":"1"},"matchExpressions":[{"key":"a","operator":"In"}]}'
    assert render_value(goforms.label_selector(selector)) == written
    budget = goforms.internal("policy.v1.PodDisruptionBudgetSpec", {"selector": selector})
    assert render_value(budget["Selector"]) == written
