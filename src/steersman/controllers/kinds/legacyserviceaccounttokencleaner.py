"""Legacy service account token cleaner: removes auto-generated token Secrets that nobody has used for a year.

watches: Secrets of tokens; ServiceAccounts; Pods.
owns: nothing.
writes: Secrets (label ``kubernetes.io/legacy-token-invalid-since``, delete).
invariants: only Secrets that their ServiceAccount lists (users' own are not listed); none that a pod mounts; a token is first
marked, which makes it invalid, and deleted only after the same time again; nothing happens before the API server has tracked
the use of tokens for so long. The day, in UTC, is the unit of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from steersman.client.api import MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers.runtime import Context, Controller, Result, Watch, reconcile_log
from steersman.meta import objects, times
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS, Resource

NAME = "legacy-serviceaccount-token-cleaner-controller"
TOKEN_TYPE = "kubernetes.io/service-account-token"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
PASS = ""
"""The one key: a look at all tokens."""
PERIOD_S = 24 * 3600.0
SECRET_WATCH = Watch(resource=SECRETS, field_selector=f"type={TOKEN_TYPE}")
ACCOUNT_WATCH = Watch(resource=SERVICEACCOUNTS)
POD_WATCH = Watch(resource=PODS)
WATCHES = (SECRET_WATCH, ACCOUNT_WATCH, POD_WATCH)
log = reconcile_log(__name__)


class Plan(Struct, frozen=True, kw_only=True):
    """Secrets to mark as invalid since today, and Secrets to delete."""

    mark: Sequence[Object] = ()
    delete: Sequence[Object] = ()


def plan(
    secrets: Iterable[Object],
    account_of: Callable[[Object], Object | None],
    mounted: Callable[[str], frozenset[str]],
    now_s: float,
    clean_up_period_s: float,
) -> Plan:
    """``account_of`` gives a Secret's ServiceAccount, ``mounted`` the names of the Secrets that pods of a namespace use."""
    keep_from_s = now_s - clean_up_period_s
    keep_from = day_of(keep_from_s)
    mark, delete = [], []
    for secret in secrets:
        created = objects.metadata(secret).get("creationTimestamp")
        is_young = not created or times.parse_time(created) >= keep_from_s
        if secret.get("type") != TOKEN_TYPE or is_young or objects.is_deleting(secret):
            continue
        last_used = objects.labels(secret).get(LAST_USED)
        if last_used is not None and (not is_day(last_used) or last_used >= keep_from):
            continue
        account = account_of(secret)
        if account is None or not _lists(account, objects.name(secret)):
            continue
        if objects.name(secret) in mounted(objects.namespace(secret)):
            continue
        invalid_since = objects.labels(secret).get(INVALID_SINCE, "")
        if not is_day(invalid_since):
            mark.append(secret)
        elif invalid_since < keep_from:
            delete.append(secret)
    return Plan(mark=mark, delete=delete)


def day_of(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d")


def is_day(text: str) -> bool:
    return day_after(text) is not None


def day_after(text: str) -> float | None:
    """Midnight after that day, epoch seconds; None where ``text`` is no day."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return (day + timedelta(days=1)).timestamp() if day.strftime("%Y-%m-%d") == text else None


def _lists(account: Object, secret: str) -> bool:
    return any(entry.get("name") == secret for entry in account.get("secrets") or ())


def secrets_of(pod: Object) -> Iterable[str]:
    """Names of the Secrets that ``pod`` refers to itself."""
    spec = pod.get("spec") or {}
    names: list[Any] = [entry.get("name") for entry in spec.get("imagePullSecrets") or ()]
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            names += [(entry.get("secretRef") or {}).get("name") for entry in container.get("envFrom") or ()]
            sources = [entry.get("valueFrom") or {} for entry in container.get("env") or ()]
            names += [(source.get("secretKeyRef") or {}).get("name") for source in sources]
    for volume in spec.get("volumes") or ():
        names += _secrets_of_volume(volume)
    return {name for name in names if name}


def _secrets_of_volume(volume: Object) -> Iterable[Any]:
    yield (volume.get("secret") or {}).get("secretName")
    yield (volume.get("azureFile") or {}).get("secretName")
    yield ((volume.get("csi") or {}).get("nodePublishSecretRef") or {}).get("name")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield (source.get("secret") or {}).get("name")
    for kind in ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"):
        yield ((volume.get(kind) or {}).get("secretRef") or {}).get("name")


class LegacyServiceAccountTokenCleaner:
    """Reconciles its one key, once a day."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._secrets = context.informer(SECRET_WATCH)
        self._accounts = context.informer(ACCOUNT_WATCH)
        self._pods = context.informer(POD_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return ()

    async def reconcile(self, key: str) -> Result:
        now_s = self._context.clock.now()
        period_s = self._context.config.legacy_service_account_token_clean_up_period_s
        tracked_from_s = await self._tracked_from_s()
        if tracked_from_s is None or now_s < tracked_from_s + period_s:
            return Result(requeue_after_s=PERIOD_S)
        todo = plan(self._secrets.list(), self._account_of, self._mounted, now_s, period_s)
        for secret in todo.mark:
            await self._mark(secret, day_of(now_s))
        for secret in todo.delete:
            await self._delete(secret)
        return Result(requeue_after_s=PERIOD_S)

    async def _tracked_from_s(self) -> float | None:
        """Since when every use of a token has certainly left a mark; None where that is not known."""
        try:
            tracking = await self._context.client.get(CONFIGMAPS, TRACKING, namespace="kube-system")
        except NotFound:
            log.info("the API server does not track the use of tokens: there is no ConfigMap kube-system/%s", TRACKING)
            return None
        return day_after((tracking.get("data") or {}).get("since") or "")

    def _account_of(self, secret: Object) -> Object | None:
        annotations = objects.annotations(secret)
        name = annotations.get("kubernetes.io/service-account.name") or ""
        account = self._accounts.get(objects.make_key(objects.namespace(secret), name))
        uid = annotations.get("kubernetes.io/service-account.uid")
        return None if account is None or (uid and uid != objects.uid(account)) else account

    def _mounted(self, namespace: str) -> frozenset[str]:
        return frozenset(name for pod in self._pods.by_namespace(namespace) for name in secrets_of(pod))

    async def _mark(self, secret: Object, today: str) -> None:
        patch = {"metadata": {"uid": objects.uid(secret), "labels": {INVALID_SINCE: today}}}
        name, namespace = objects.name(secret), objects.namespace(secret)
        try:
            await self._context.client.patch(SECRETS, name, patch, namespace=namespace, patch_type=MERGE_PATCH)
        except (NotFound, Conflict):
            return

    async def _delete(self, secret: Object) -> None:
        try:
            await self._context.client.delete(
                SECRETS,
                objects.name(secret),
                namespace=objects.namespace(secret),
                uid=objects.uid(secret),
                resource_version=objects.resource_version(secret),
            )
        except (NotFound, Conflict):
            return


def _conforms(context: Context) -> Controller:
    return LegacyServiceAccountTokenCleaner(context)
