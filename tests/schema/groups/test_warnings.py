"""What is accepted and warned of, in upstream's words and order. Every row was compared with kube-apiserver v1.36."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from steersman.meta.objects import Object
from steersman.schema.groups.core.tlspairs import pair_error
from tests.schema.groups.samples import GONE, changed, kind_of, prepared, sample

Row = tuple[str, Mapping[str, Any], list[str]]

_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
_WEIGHTED = "preferredDuringSchedulingIgnoredDuringExecution"
_ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
_OLD_ARCH = "beta.kubernetes.io/arch"
_NULL = "a null labelSelector results in matching no pod"
_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'


def _volume(**source: Any) -> Mapping[str, Any]:
    return {"spec.volumes": [{"name": "v", **source}]}


def _items(*paths: str) -> list[Object]:
    return [{"key": "k", "path": path} for path in paths]


def _ports(*ports: Object) -> Mapping[str, Any]:
    return {"spec.containers": [{"name": "c", "image": "i", "ports": list(ports)}]}


POD: list[Row] = [
    ("Pod", _volume(projected={"sources": [{}]}), ['volume "v" (Projected) has no sources provided']),
    (
        "Pod",
        _volume(configMap={"name": "m", "items": _items("a", "a/b", "c")}),
        ['volume "v" (ConfigMap "m"): overlapping paths: "a/b" with "a"'],
    ),
    (
        "Pod",
        _volume(secret={"secretName": "s", "items": _items("a", "a/")}),
        ['volume "v" (Secret "s"): overlapping paths: "a" with "a"'],
    ),
    (
        "Pod",
        _volume(
            projected={
                "sources": [
                    {"configMap": {"name": "m", "items": _items("a")}},
                    {"secret": {"name": "s", "items": _items("a/b")}},
                ]
            }
        ),
        ['volume "v" (Projected): overlapping paths: "a/b" (Secret "s") with "a" (ConfigMap "m")'],
    ),
    (
        "Pod",
        _volume(
            ephemeral={
                "volumeClaimTemplate": {
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}
                }
            }
        ),
        [
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "
            '"1500m" is invalid, must be an integer'
        ],
    ),
    (
        "Pod",
        {
            "spec.affinity": {
                "nodeAffinity": {
                    _TERMS: {"nodeSelectorTerms": [{"matchExpressions": [{"key": _OLD_ARCH, "operator": "Exists"}]}]},
                    _WEIGHTED: [
                        {
                            "weight": 1,
                            "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]},
                        }
                    ],
                }
            }
        },
        [
            f"spec.affinity.nodeAffinity.{_TERMS}.nodeSelectorTerms[0].matchExpressions[0].key: {_OLD_ARCH} is {_ARCH}",
            f"spec.affinity.nodeAffinity.{_WEIGHTED}[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label "
            "must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ],
    ),
    (
        "Pod",
        {
            "spec.affinity": {
                "podAffinity": {_TERMS: [{"topologyKey": "a"}]},
                "podAntiAffinity": {_WEIGHTED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "a"}}]},
            }
        },
        [
            f"spec.affinity.podAffinity.{_TERMS}[0].labelSelector: {_NULL}",
            f"spec.affinity.podAntiAffinity.{_WEIGHTED}[0].podAffinityTerm.labelSelector: {_NULL}",
        ],
    ),
    (
        "Pod",
        _ports({"containerPort": 80, "hostIP": "1.2.3.4"}),
        [
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP "
            "HostIP:1.2.3.4}"
        ],
    ),
    (
        "Pod",
        {
            "spec.containers": [
                {"name": "c", "image": "i", "ports": [{"name": "a", "containerPort": 80}]},
                {"name": "d", "image": "i", "ports": [{"name": "a", "containerPort": 81}]},
            ]
        },
        [
            'spec.containers[1].ports[0]: duplicate port name "a" with spec.containers[0].ports[0], services and probes that '
            "select ports by name will use spec.containers[0].ports[0]"
        ],
    ),
    (
        "Pod",
        {
            "spec.dnsConfig": {"nameservers": ["2001:DB8::1"]},
            "spec.hostAliases": [{"ip": "0:0::1", "hostnames": ["a"]}],
        },
        [
            'spec.dnsConfig.nameservers[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
            'spec.hostAliases[0].ip: IPv6 address "0:0::1" should be in RFC 5952 canonical format ("::1")',
        ],
    ),
    (
        "Pod",
        {"metadata.annotations": {"container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}},
        [f"metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: {_SECCOMP}"],
    ),
    (
        "Pod",
        {
            "metadata.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"},
            "spec.securityContext": {"seccompProfile": {"type": "Unconfined"}},
        },
        [],
    ),
    (
        "Pod",
        {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"}},
        [f"metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: {_APPARMOR}"],
    ),
    (
        "Deployment",
        {
            "spec.template.metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
            "spec.template.spec.securityContext": {"appArmorProfile": {"type": "Unconfined"}},
        },
        [],
    ),
    (
        "DaemonSet",
        {"spec.template.metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
        [f"spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: {_APPARMOR}"],
    ),
    (
        "PodTemplate",
        {"template.spec.nodeSelector": {_OLD_ARCH: "a"}},
        [f"template.spec.nodeSelector[{_OLD_ARCH}]: {_ARCH}"],
    ),
    (
        "Job",
        {
            "spec.completionMode": "Indexed",
            "spec.completions": 100_001,
            "spec.parallelism": 10_001,
            "spec.backoffLimitPerIndex": None,
        },
        [
            "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
            "might not be able to track completedIndexes when a big number of indexes fail"
        ],
    ),
]
OTHERS: list[Row] = [
    (
        "PersistentVolumeClaim",
        {
            "metadata.annotations": {"volume.beta.kubernetes.io/storage-class": "a"},
            "spec.resources": {"requests": {"storage": "1500m"}},
        },
        [
            'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" '
            "attribute instead",
            'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
        ],
    ),
    (
        "PersistentVolume",
        {
            "metadata.annotations": {"volume.beta.kubernetes.io/mount-options": "a"},
            "spec.persistentVolumeReclaimPolicy": "Recycle",
            "spec.hostPath": GONE,
            "spec.nfs": {"server": "a", "path": "/a"},
            "spec.nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": _OLD_ARCH, "operator": "Exists"}]}]}
            },
        },
        [
            'metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use "mountOptions" attribute '
            "instead",
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is "
            "to use dynamic provisioning.",
            f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {_OLD_ARCH} is {_ARCH}",
        ],
    ),
    (
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "2001:DB8::1"}], "ports": [{"port": 1}]}]},
        [
            'subsets[0].addresses[0].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
        ],
    ),
    (
        "NetworkPolicy",
        {"spec.egress": [{"to": [{"ipBlock": {"cidr": "2001:DB8::/64"}}]}]},
        [
            'spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format '
            '("2001:db8::/64")'
        ],
    ),
    ("RuntimeClass", {"scheduling": {"nodeSelector": {_OLD_ARCH: "a"}}}, [f"scheduling.nodeSelector: {_ARCH}"]),
    (
        "StorageClass",
        {"allowedTopologies": [{"matchLabelExpressions": [{"key": _OLD_ARCH, "values": ["a"]}]}]},
        [f"allowedTopologies[0].matchLabelExpressions[0].key: {_ARCH}"],
    ),
    (
        "CSIStorageCapacity",
        {"nodeTopology": {"matchLabels": {_OLD_ARCH: "a"}}},
        [f"nodeTopology.matchLabels.{_OLD_ARCH}: {_ARCH}"],
    ),
    (
        "ValidatingWebhookConfiguration",
        {"metadata.name": "a.static.k8s.io"},
        [
            'metadata.name: names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot '
            "be managed via the API"
        ],
    ),
    (
        "Secret",
        {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}},
        ["tls: failed to find any PEM data in certificate input"],
    ),
]
ROWS = [*POD, *OTHERS]


@pytest.mark.parametrize(("name", "changes", "expected"), ROWS, ids=[f"{row[0]} {' '.join(row[1])}" for row in ROWS])
def test_what_is_created_is_warned_of(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    kind = kind_of(name)
    assert kind.warnings is not None
    made = prepared(name, changed(sample(name), changes))
    assert kind.warnings(made) == expected


@pytest.mark.parametrize("name", ["Deployment", "ReplicaSet", "StatefulSet", "CronJob", "PodTemplate", "DaemonSet"])
def test_an_update_that_changes_nothing_else_is_not_warned_of(name: str) -> None:
    kind = kind_of(name)
    prefix = {"PodTemplate": "template.spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(
        name, "spec.template.spec"
    )
    old = prepared(name, changed(sample(name), {f"{prefix}.nodeSelector": {_OLD_ARCH: "a"}}))
    old["metadata"]["generation"] = 1
    new = changed(old, {"metadata.labels": {"x": "y"}})
    assert kind.update_warnings is not None
    assert kind.update_warnings(new, old) == []
    newer = changed(old, {f"{prefix}.nodeSelector": {_OLD_ARCH: "b"}, "metadata.generation": 2})
    assert kind.update_warnings(newer, old) == [f"{prefix}.nodeSelector[{_OLD_ARCH}]: {_ARCH}"]


def test_updates_of_pods_are_not_looked_at() -> None:
    kind = kind_of("Pod")
    assert kind.update_warnings is not None
    odd = changed(sample("Pod"), {"spec.nodeSelector": {_OLD_ARCH: "a"}})
    assert kind.update_warnings(odd, sample("Pod")) == []


def test_a_profile_in_an_annotation_becomes_a_field() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/c"

    def profile_of(noted: str, **spec: Any) -> Any:
        changes = {"metadata.annotations": {key: noted}, **{f"spec.{name}": value for name, value in spec.items()}}
        pod = prepared("Pod", changed(sample("Pod"), changes))
        return (pod["spec"]["containers"][0].get("securityContext") or {}).get("appArmorProfile")

    assert profile_of("localhost/a") == {"type": "Localhost", "localhostProfile": "a"}
    assert profile_of("unconfined") == {"type": "Unconfined"}
    assert profile_of("unconfined", securityContext={"appArmorProfile": {"type": "Unconfined"}}) is None
    assert profile_of("unconfined", os={"name": "windows"}) is None


def _pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, begins, begins + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_key_that_is_not_the_certificates_is_warned_of() -> None:
    def said(certificate: bytes, key: bytes) -> str:
        return pair_error(base64.b64encode(certificate).decode(), base64.b64encode(key).decode())

    certificate, key = _pair()
    assert said(certificate, key) == ""
    assert said(certificate, _pair()[1]) == "tls: private key does not match public key"
    assert said(certificate, certificate) == "tls: found a certificate rather than a key in the PEM for the private key"
    assert said(key, key).endswith("did find a private key; PEM inputs may have been switched")
