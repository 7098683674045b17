"""``--controllers=``: names, aliases, and what is not there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from steersman.controllers.component import UnknownController, selected
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.kinds import NOT_RUN, REGISTRY

UPSTREAM = [
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "cloud-node-lifecycle-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "podcertificaterequest-cleaner-controller",
    "podgroup-protection-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "resourcepoolstatusrequest-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "selinux-warning-controller",
    "service-cidr-controller",
    "service-lb-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "taint-eviction-controller",
    "token-cleaner-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "volumeattributesclass-protection-controller",
]
"""kube-controller-manager v1.36's, from its documentation, but for validatingadmissionpolicy-status-controller."""


def names(*controllers: str) -> list[str]:
    return [registration.name for registration in selected(ControllerManagerConfig(controllers=controllers))]


def test_the_controllers_are_upstreams() -> None:
    known = {registration.name for registration in REGISTRY} | {entry.name for entry in NOT_RUN}
    assert known - {"validatingadmissionpolicy-status-controller"} == set(UPSTREAM)


def test_every_name_and_alias_means_one_controller() -> None:
    words = [word for entry in REGISTRY for word in (entry.name, *entry.aliases)]
    words += [word for absent in NOT_RUN for word in (absent.name, *absent.aliases)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("ttl-controller",), ["ttl-controller"]),
        (("ttl",), ["ttl-controller"]),
        (("-ttl", "ttl"), []),
        (("ttl", "-ttl"), ["ttl-controller"]),
        (("service-lb-controller", "podgroup-protection-controller"), []),
    ],
)
def test_the_first_word_about_a_controller_counts(given: tuple[str, ...], expected: list[str]) -> None:
    assert names(*given) == expected


def test_a_star_is_all_but_those_that_are_off_by_default() -> None:
    everything = names("*")
    assert "deployment-controller" in everything
    assert "token-cleaner-controller" not in everything
    assert "token-cleaner-controller" in names("*", "tokencleaner")
    assert "deployment-controller" not in names("*", "-deployment")


@pytest.mark.parametrize("word", ["no-such-controller", "-no-such-controller"])
def test_an_unknown_name_is_refused(word: str) -> None:
    with pytest.raises(UnknownController, match='"no-such-controller" is not in the list of known controllers'):
        names("*", word)


def test_what_upstream_would_run_and_we_cannot_is_refused_by_name() -> None:
    with pytest.raises(UnknownController, match="selinux-warning-controller"):
        names("*", "selinux-warning-controller")


def test_every_controller_has_tests_of_its_own() -> None:
    """Each test of a controller ends by proving that a second reconcile writes nothing (``conftest.world_of``)."""
    sources = "".join(path.read_text() for path in (Path(__file__).parent / "kinds").glob("test_*.py"))
    untested = [registration.name for registration in REGISTRY if f'"{registration.name}"' not in sources]
    assert untested == []


def test_every_plan_has_a_table_of_cases() -> None:
    """A test calls the plan itself, with nothing running."""
    sources = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    tree = ast.parse("\n".join(line for line in sources.splitlines() if line != "from __future__ import annotations"))
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    called = {
        ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)
    }  # fmt: skip
    missing = []
    for registration in REGISTRY:
        plan = getattr(registration.module, "plan", None)
        name = f"{registration.module.__name__}"  # type: ignore[attr-defined]
        places = (name, getattr(plan, "__module__", name))
        is_called = any(f"{place}.plan" in imported or f"{place.rpartition('.')[2]}.plan" in called for place in places)
        if plan is not None and not is_called:
            missing.append(registration.name)
    assert missing == []
