"""Defaults of a pod's specification.

Every function changes the given value in place: the caller owns the whole object. Source: the field documentation of
core/v1 in the API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from steersman.meta import imagereferences
from steersman.meta.objects import Object
from steersman.meta.podtotals import container_totals
from steersman.schema.groups.core.claimspec import default_claim_spec
from steersman.schema.groups.core.resourcelist import (
    HUGEPAGES,
    default_requests_from_limits,
    default_requirements,
    format_amount,
    is_pod_level,
)

_FILE_MODE = 0o644
_TOKEN_LIFETIME_S = 3600


def default_pod_template(template: Object | None) -> None:
    """A workload's ``template``; absent ones are left for validation to find."""
    if template is None:
        return
    if template.get("metadata") is None:
        template["metadata"] = {}
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    """What templates and pods alike get; pods get ``default_pod`` on top."""
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in _containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    if spec.get("resources"):
        default_requirements(spec["resources"])


def default_pod(pod: Object) -> None:
    """A pod: its specification, requests from limits, host ports of the host's network."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            default_requests_from_limits(container["resources"])
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort")
    if spec.get("resources"):
        _default_pod_level(spec, spec["resources"])
    if pod.get("status") is None:
        pod["status"] = {}


def _default_pod_level(spec: Object, resources: Object) -> None:
    """The pod's own requests and limits, from those of its containers (KEP-2837)."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    try:
        if limits or requests:
            for name, amount in container_totals(spec, "limits").items():
                if name.startswith(HUGEPAGES) and name not in requests and name not in limits:
                    limits = {**limits, name: format_amount(name, amount)}
        if limits:
            asked = container_totals(spec, "requests")
            for name in ("cpu", "memory"):
                if name not in requests and name in asked:
                    requests = {**requests, name: format_amount(name, asked[name])}
            for name, amount in limits.items():
                if name not in requests and is_pod_level(name):
                    requests = {**requests, name: amount}
    except ValueError:
        return
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests


def _containers(spec: Object) -> Iterable[Object]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()
    yield from spec.get("ephemeralContainers") or ()


@lru_cache(maxsize=4096)
def default_pull_policy(image: str) -> str:
    """``Always`` for ``:latest`` and for images without tag and digest; what is no reference has no tag."""
    try:
        tag = imagereferences.parse(image).tag
    except ValueError:
        return "IfNotPresent"
    return "Always" if tag == imagereferences.DEFAULT_TAG else "IfNotPresent"


def _default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = default_pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if container.get("resources") is None:
        container["resources"] = {}
    else:
        default_requirements(container["resources"])
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            _default_variable_source(source)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            _default_probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http_get(hook)


def _default_variable_source(source: Object) -> None:
    field = source.get("fieldRef")
    if field is not None and not field.get("apiVersion"):
        field["apiVersion"] = "v1"
    resource = source.get("resourceFieldRef")
    if resource is not None and not resource.get("divisor"):
        resource["divisor"] = "0"
    file_key = source.get("fileKeyRef")
    if file_key is not None and file_key.get("optional") is None:
        file_key["optional"] = False


def _default_probe(probe: Object) -> None:
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not probe.get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if not probe.get("failureThreshold"):
        probe["failureThreshold"] = 3
    _default_http_get(probe)
    remote_call = probe.get("grpc")
    if remote_call is not None and remote_call.get("service") is None:
        remote_call["service"] = ""


def _default_http_get(handler: Object) -> None:
    action = handler.get("httpGet")
    if action is None:
        return
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def _set_absent(source: Object, **values: Any) -> None:
    for name, value in values.items():
        if source.get(name) is None or source[name] == "":
            source[name] = value


def _default_file_items(source: Object) -> None:
    """The downward API's files: which version of the pod its field references speak."""
    for item in source.get("items") or ():
        _default_variable_source(item)


def _default_downward(source: Object) -> None:
    _set_absent(source, defaultMode=_FILE_MODE)
    _default_file_items(source)


def _default_projected(source: Object) -> None:
    _set_absent(source, defaultMode=_FILE_MODE)
    for projection in source.get("sources") or ():
        token = projection.get("serviceAccountToken")
        if token is not None:
            _set_absent(token, expirationSeconds=_TOKEN_LIFETIME_S)
        downward = projection.get("downwardAPI")
        if downward is not None:
            _default_file_items(downward)


def _default_ephemeral(source: Object) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        if template.get("metadata") is None:
            template["metadata"] = {}
        default_claim_spec(template.setdefault("spec", {}))


def _default_image_volume(source: Object) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = default_pull_policy(source.get("reference") or "")


def _default_host_path(source: Object) -> None:
    if source.get("type") is None:
        source["type"] = ""


VOLUME_SOURCE_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "configMap": lambda source: _set_absent(source, defaultMode=_FILE_MODE),
    "secret": lambda source: _set_absent(source, defaultMode=_FILE_MODE),
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "ephemeral": _default_ephemeral,
    "image": _default_image_volume,
    "hostPath": _default_host_path,
    "iscsi": lambda source: _set_absent(source, iscsiInterface="default"),
    "rbd": lambda source: _set_absent(source, pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": lambda source: _set_absent(
        source, cachingMode="ReadWrite", fsType="ext4", readOnly=False, kind="Shared"
    ),
    "scaleIO": lambda source: _set_absent(source, storageMode="ThinProvisioned", fsType="xfs"),
}
"""By the name of the source; persistent volumes use those that they have in common with pods."""


def _default_volume(volume: Object) -> None:
    has_source = False
    for name, source in volume.items():
        if name == "name" or source is None:
            continue
        has_source = True
        default = VOLUME_SOURCE_DEFAULTS.get(name)
        if default is not None:
            default(source)
    if not has_source:
        volume["emptyDir"] = {}
