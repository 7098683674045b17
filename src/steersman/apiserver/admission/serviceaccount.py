"""ServiceAccount: every pod has a service account that exists, its pull secrets and a token volume.

Source: "ServiceAccount admission controller" in the Kubernetes documentation; the volume is the projected one of bound
tokens (KEP-1205).
"""

from __future__ import annotations

from random import Random
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin, Reader
from steersman.apiserver.admission.errors import refused
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, SERVICEACCOUNTS

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ENFORCE_SECRETS = "kubernetes.io/enforce-mountable-secrets"
MIRROR = "kubernetes.io/config.mirror"
TOKEN_EXPIRATION_S = 3607
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccount:
    NAME = "ServiceAccount"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS,)

    def __init__(self, reader: Reader, *, rng: Random) -> None:
        self._reader = reader
        self._rng = rng

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if request.kind.resource != PODS or request.subresource or request.operation != "CREATE" or pod is None:
            return None
        if MIRROR in objects.annotations(pod):
            self._check_mirror(request, pod)
            return None
        spec = pod.get("spec") or {}
        name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
        account = self._reader.get(SERVICEACCOUNTS, request.namespace, name)
        if account is None:
            raise refused(
                request,
                f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found',
            )
        changed = {**spec, "serviceAccountName": name, "serviceAccount": name}
        if _wants_token(spec, account):
            self._mount_token(changed)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            changed["imagePullSecrets"] = account["imagePullSecrets"]
        if objects.annotations(account).get(ENFORCE_SECRETS) == "true":
            self._check_secrets(request, changed, account)
        return {**pod, "spec": changed}

    def _check_mirror(self, request: AdmissionRequest, pod: Object) -> None:
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            raise refused(request, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            if volume.get("secret"):
                raise refused(request, "a mirror pod may not reference secrets")

    def _mount_token(self, spec: dict[str, Any]) -> None:
        lists = ("initContainers", "containers")
        lacks = [
            container
            for field in lists
            for container in spec.get(field) or ()
            if all(mount.get("mountPath") != MOUNT_PATH for mount in container.get("volumeMounts") or ())
        ]
        if not lacks:
            return
        volume = next(
            (entry for entry in spec.get("volumes") or () if entry["name"].startswith("kube-api-access-")), None
        )
        if volume is None:
            volume = token_volume(f"kube-api-access-{self._suffix()}")
            spec["volumes"] = [*(spec.get("volumes") or ()), volume]
        mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
        wanting = {id(container) for container in lacks}
        for field in lists:
            if spec.get(field):
                spec[field] = [
                    {**container, "volumeMounts": [*(container.get("volumeMounts") or ()), mount]}
                    if id(container) in wanting
                    else container
                    for container in spec[field]
                ]

    def _check_secrets(self, request: AdmissionRequest, spec: dict[str, Any], account: Object) -> None:
        mountable = {entry.get("name") for entry in account.get("secrets") or ()}
        name = objects.name(account)
        for volume in spec.get("volumes") or ():
            secret = (volume.get("secret") or {}).get("secretName")
            if secret and secret not in mountable:
                raise refused(
                    request,
                    f'volume with secret.secretName="{secret}" is not allowed because service account {name} does not '
                    "reference that secret",
                )
        pullable = {entry.get("name") for entry in account.get("imagePullSecrets") or ()}
        for index, entry in enumerate(spec.get("imagePullSecrets") or ()):
            if entry.get("name") not in pullable:
                raise refused(
                    request,
                    f'imagePullSecrets[{index}].name="{entry.get("name")}" is not allowed because service account {name} '
                    "does not reference that imagePullSecret",
                )

    def _suffix(self) -> str:
        return "".join(self._rng.choice(_SUFFIX_LETTERS) for _ in range(5))


def token_volume(name: str) -> Object:
    """The projected volume with token, CA bundle and namespace."""
    token = {"serviceAccountToken": {"expirationSeconds": TOKEN_EXPIRATION_S, "path": "token"}}
    authority = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    namespace = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}}
    return {"name": name, "projected": {"sources": [token, authority, namespace], "defaultMode": 0o644}}


def _wants_token(spec: Object, account: Object) -> bool:
    for holder in (spec, account):
        wanted = holder.get("automountServiceAccountToken")
        if wanted is not None:
            return bool(wanted)
    return True


def _conforms(reader: Reader, rng: Random) -> MutatingPlugin:
    return ServiceAccount(reader, rng=rng)
