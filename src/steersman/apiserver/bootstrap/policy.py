"""The bootstrap RBAC policy as objects, and how it is kept up to date at each start.

As upstream's reconciliation: what is missing is created; roles and bindings still marked ``autoupdate`` get back the rules and
subjects that were taken from them; what an administrator added stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steersman.apiserver.bootstrap.controller_roles import CONTROLLER_ROLES
from steersman.apiserver.bootstrap.roles import CLUSTER_ROLES, NAMESPACE_ROLES
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES, Resource

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_AGGREGATE = f"{GROUP}/aggregate-to-"

_VERBS = {
    "READ": ["get", "list", "watch"],
    "WRITE": ["create", "delete", "deletecollection", "patch", "update"],
    "ALL": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
}

_AGGREGATED = {"admin": "admin", "edit": "edit", "view": "view"}
"""ClusterRoles whose rules the aggregation controller collects -> the label it collects by."""

_AGGREGATES_TO = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}

Subject = tuple[str, str]
"""(``User`` or ``Group`` or the namespace of a service account, name)."""

_AUTHENTICATED = ("Group", "system:authenticated")
_EVERYONE = (_AUTHENTICATED, ("Group", "system:unauthenticated"))
_MANAGER = ("User", "system:kube-controller-manager")
_SCHEDULER = ("User", "system:kube-scheduler")

_CLUSTER_BINDINGS: dict[str, tuple[Subject, ...]] = {
    "cluster-admin": (("Group", "system:masters"),),
    "system:monitoring": (("Group", "system:monitoring"),),
    "system:discovery": (_AUTHENTICATED,),
    "system:basic-user": (_AUTHENTICATED,),
    "system:public-info-viewer": _EVERYONE,
    "system:node-proxier": (("User", "system:kube-proxy"),),
    "system:kube-controller-manager": (_MANAGER,),
    "system:kube-dns": (("kube-system", "kube-dns"),),
    "system:kube-scheduler": (_SCHEDULER,),
    "system:volume-scheduler": (_SCHEDULER,),
    "system:service-account-issuer-discovery": (("Group", "system:serviceaccounts"),),
    "system:node": (),
}

_NAMESPACE_BINDINGS: dict[str, tuple[str, tuple[Subject, ...]]] = {
    "kube-public/system:controller:bootstrap-signer": (
        "system:controller:bootstrap-signer",
        (("kube-system", "bootstrap-signer"),),
    ),
    "kube-system/system::extension-apiserver-authentication-reader": (
        "extension-apiserver-authentication-reader",
        (_MANAGER, _SCHEDULER),
    ),
    "kube-system/system::leader-locking-kube-controller-manager": (
        "system::leader-locking-kube-controller-manager",
        (_MANAGER, ("kube-system", "kube-controller-manager"), ("kube-system", "leader-election-controller")),
    ),
    "kube-system/system::leader-locking-kube-scheduler": (
        "system::leader-locking-kube-scheduler",
        (_SCHEDULER, ("kube-system", "kube-scheduler")),
    ),
    "kube-system/system:controller:bootstrap-signer": (
        "system:controller:bootstrap-signer",
        (("kube-system", "bootstrap-signer"),),
    ),
    "kube-system/system:controller:cloud-provider": (
        "system:controller:cloud-provider",
        (("kube-system", "cloud-provider"),),
    ),
    "kube-system/system:controller:token-cleaner": (
        "system:controller:token-cleaner",
        (("kube-system", "token-cleaner"),),
    ),
}


def bootstrap_objects() -> list[tuple[Resource, Object]]:
    """Every role and binding of a new cluster, in the order in which they are made."""
    rows: list[tuple[Resource, Object]] = [(CLUSTERROLES, _cluster_role(name, "")) for name in _AGGREGATED]
    rows += [(CLUSTERROLES, _cluster_role(name, text)) for name, text in CLUSTER_ROLES.items()]
    rows += [(CLUSTERROLEBINDINGS, _cluster_binding(name, name, who)) for name, who in _CLUSTER_BINDINGS.items()]
    for controller, text in CONTROLLER_ROLES.items():
        name = f"system:controller:{controller}"
        rows.append((CLUSTERROLES, _cluster_role(name, text)))
        rows.append((CLUSTERROLEBINDINGS, _cluster_binding(name, name, (("kube-system", controller),))))
    for key, text in NAMESPACE_ROLES.items():
        namespace, name = objects.split_key(key)
        rows.append((ROLES, _object("Role", name, namespace, rules=parse_rules(text))))
    for key, (role, who) in _NAMESPACE_BINDINGS.items():
        namespace, name = objects.split_key(key)
        reference = {"apiGroup": GROUP, "kind": "Role", "name": role}
        rows.append((ROLEBINDINGS, _object("RoleBinding", name, namespace, roleRef=reference, subjects=_subjects(who))))
    return rows


def parse_rules(text: str) -> list[Object]:
    """Rules of the notation of ``roles.py``."""
    rules: list[Object] = []
    for line in text.split("\n"):
        words = line.split()
        if not words:
            continue
        verbs = _VERBS.get(words[0]) or words[0].split(",")
        if len(words) == 2:
            rules.append({"nonResourceURLs": words[1].split(","), "verbs": [*verbs]})
            continue
        rule: Object = {
            "apiGroups": ["" if group == "core" else group for group in words[1].split(",")],
            "resources": words[2].split(","),
            "verbs": [*verbs],
        }
        if len(words) > 3:
            rule["resourceNames"] = words[3].split(",")
        rules.append(rule)
    return rules


def reconciled(existing: Object, wanted: Object) -> Object | None:
    """``existing`` with what ``wanted`` has and it lacks; None where nothing is missing or its owner opted out."""
    if objects.annotations(existing).get(AUTOUPDATE) != "true":
        return None
    changed = dict(existing)
    if "roleRef" in wanted:
        have, want = existing.get("subjects") or [], wanted["subjects"]
        changed["subjects"] = [*have, *(entry for entry in want if entry not in have)]
    elif "aggregationRule" in wanted:
        changed["aggregationRule"] = wanted["aggregationRule"]
    else:
        have, want = existing.get("rules") or [], wanted["rules"]
        changed["rules"] = [*have, *(entry for entry in want if entry not in have)]
    labels = {**wanted["metadata"]["labels"], **objects.labels(existing)}
    if labels != objects.labels(existing):
        changed = objects.with_metadata(changed, labels=labels)
    return None if changed == existing else changed


def _cluster_role(name: str, text: str) -> Object:
    role = _object("ClusterRole", name, "", rules=parse_rules(text))
    if name in _AGGREGATES_TO:
        role["metadata"]["labels"][f"{_AGGREGATE}{_AGGREGATES_TO[name]}"] = "true"
    if name in _AGGREGATED:
        label = f"{_AGGREGATE}{_AGGREGATED[name]}"
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    return role


def _cluster_binding(name: str, role: str, who: Sequence[Subject]) -> Object:
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    return _object("ClusterRoleBinding", name, "", roleRef=reference, subjects=_subjects(who))


def _subjects(who: Sequence[Subject]) -> list[Object]:
    return [
        {"apiGroup": GROUP, "kind": kind, "name": name}
        if kind in ("User", "Group")
        else {"kind": "ServiceAccount", "name": name, "namespace": kind}
        for kind, name in who
    ]


def _object(kind: str, name: str, namespace: str, **content: Any) -> Object:
    metadata: Object = {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTOUPDATE: "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **content}
