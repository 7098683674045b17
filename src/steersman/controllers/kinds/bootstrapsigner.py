"""Bootstrap signer: signs the cluster's public information with every bootstrap token that may.

watches: the ConfigMap kube-public/cluster-info; bootstrap token Secrets in kube-system.
owns: the keys ``jws-kubeconfig-<token id>`` of that ConfigMap.
writes: the ConfigMap (update).
invariants: a signature is there exactly for each valid, unexpired token with usage-bootstrap-signing, and fits the kubeconfig.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import bootstraptokens
from steersman.meta.bootstraptokens import BootstrapToken
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, SECRETS, Resource

NAME = "bootstrap-signer-controller"
KEY = "kube-public/cluster-info"
CONFIGMAP_WATCH = Watch(resource=CONFIGMAPS, namespace="kube-public", field_selector="metadata.name=cluster-info")
SECRET_WATCH = Watch(
    resource=SECRETS, namespace=bootstraptokens.NAMESPACE, field_selector=f"type={bootstraptokens.TYPE}"
)
WATCHES = (CONFIGMAP_WATCH, SECRET_WATCH)

SIGNATURE_PREFIX = "jws-kubeconfig-"


class Plan(Struct, frozen=True, kw_only=True):
    """The ConfigMap with its signatures, where they change."""

    update: Object | None = None


def plan(configmap: Object, tokens: Iterable[BootstrapToken], now_s: float) -> Plan:
    data = configmap.get("data") or {}
    content = data.get("kubeconfig")
    wanted = {key: text for key, text in data.items() if not key.startswith(SIGNATURE_PREFIX)}
    if content is not None:
        for token in tokens:
            if token.signs and (token.expires_s is None or token.expires_s > now_s):
                wanted[SIGNATURE_PREFIX + token.id] = bootstraptokens.signature(content, token)
    return Plan(update=None if wanted == data else {**configmap, "data": wanted})


class BootstrapSignerController:
    """Reconciles the one ConfigMap."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._configmaps = context.informer(CONFIGMAP_WATCH)
        self._secrets = context.informer(SECRET_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (KEY,)

    async def reconcile(self, key: str) -> Result:
        configmap = self._configmaps.get(key)
        if configmap is None:
            self._context.expectations.forget(key)
            return DONE
        tokens = [token for secret in self._secrets.list() if (token := bootstraptokens.parse(secret)) is not None]
        now_s = self._context.clock.now()
        todo = plan(configmap, sorted(tokens, key=lambda token: token.id), now_s)
        if todo.update is not None:
            updated = await self._context.client.update(CONFIGMAPS, todo.update)
            self._context.expectations.wrote(key, self._configmaps, updated)
        waits = [token.expires_s - now_s for token in tokens if token.expires_s is not None and token.expires_s > now_s]
        return Result(requeue_after_s=min(waits, default=None))


def _conforms(context: Context) -> Controller:
    return BootstrapSignerController(context)
