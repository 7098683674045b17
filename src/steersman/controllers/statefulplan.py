"""What one reconcile of a StatefulSet does, as a value.

Source: the StatefulSet page of the Kubernetes documentation: stable identities, ordered and parallel management, rolling
updates with partition and maxUnavailable, retention of claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from msgspec import Struct, field

from steersman.controllers import claimretention, history
from steersman.controllers import pods as podstate
from steersman.controllers.intorstring import scaled
from steersman.controllers.podtemplate import pod_from
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import STATEFULSETS

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"(.*)-(\d+)", re.ASCII | re.DOTALL)


class Creation(Struct, frozen=True, kw_only=True):
    """A pod with the claims that it lacks, which come first."""

    pod: Object
    claims: Sequence[Object] = ()
    blocked_by: str = ""
    """A claim that is being deleted; the pod cannot be created before that is gone."""


class Correction(Struct, frozen=True, kw_only=True):
    """A pod, or its claims, as they should be: each is None or empty where it is so."""

    name: str
    pod: Object | None = None
    claim_owners: Sequence[Object] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """Writes of one reconcile. With ordered management at most one pod is created or deleted."""

    create: Sequence[Creation] = ()
    claims: Sequence[Object] = ()
    """Claims missing of pods that wait for them."""
    correct: Sequence[Correction] = ()
    """Pods whose labels or volumes do not say who they are, or whose claims go with the wrong owner."""
    claim_owners: Sequence[Object] = ()
    """Claims with the owner references that the retention policy wants."""
    delete: Sequence[Object] = ()
    conflicts: Sequence[str] = ()
    """Claims that another controller manages."""
    status: Object | None = None
    failed_status: Object | None = None
    """Instead of ``status`` where a write failed: what it is without what was to be deleted."""
    requeue_after_s: float | None = None


def ordinal_of(pod: Mapping[str, Any], set_name: str) -> int | None:
    """The pod's ordinal; None where its name is not one of this set."""
    match = _ORDINAL.fullmatch(objects.name(pod))
    return int(match.group(2)) if match is not None and match.group(1) == set_name else None


def claim_name(template: Mapping[str, Any], set_name: str, ordinal: int) -> str:
    return f"{objects.name(template)}-{set_name}-{ordinal}"


def make_claims(owner: Object, ordinal: int) -> list[Object]:
    """The claims of one pod, from the templates."""
    match_labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    made = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        metadata = {
            **objects.metadata(template),
            "name": claim_name(template, objects.name(owner), ordinal),
            "namespace": objects.namespace(owner),
            "labels": {**objects.labels(template), **match_labels},
        }
        metadata.pop("creationTimestamp", None)
        made.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": template["spec"],
            }
        )
    return made


def make_pod(owner: Object, revision: str, ordinal: int) -> Object:
    """The pod of one identity, from the owner's template at ``revision``."""
    pod = pod_from(owner["spec"]["template"], owner, STATEFULSETS)
    name = f"{objects.name(owner)}-{ordinal}"
    metadata = {key: value for key, value in pod["metadata"].items() if key != "generateName"}
    pod = {**pod, "metadata": {**metadata, "name": name}}
    spec = {**pod["spec"], "hostname": name}
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    pod = _with_identity({**pod, "spec": spec}, ordinal)
    labels = {**objects.labels(pod), history.REVISION_LABEL: revision}
    return _with_storage(objects.with_metadata(pod, labels=labels), owner, ordinal)


def _with_identity(pod: Object, ordinal: int) -> Object:
    labels = {**objects.labels(pod), POD_NAME_LABEL: objects.name(pod), POD_INDEX_LABEL: str(ordinal)}
    return objects.with_metadata(pod, labels=labels)


def _with_storage(pod: Object, owner: Object, ordinal: int) -> Object:
    templates = owner["spec"].get("volumeClaimTemplates") or ()
    if not templates:
        return pod
    names = {objects.name(template) for template in templates}
    volumes = [
        {
            "name": objects.name(template),
            "persistentVolumeClaim": {"claimName": claim_name(template, objects.name(owner), ordinal)},
        }
        for template in templates
    ]
    volumes += [volume for volume in pod["spec"].get("volumes") or () if volume["name"] not in names]
    return {**pod, "spec": {**pod["spec"], "volumes": volumes}}


def plan(
    owner: Object,
    pods: Iterable[Object],
    claims: Mapping[str, Object],
    current: Object,
    update: Object,
    now_s: float,
) -> Plan:
    """``pods`` are the owner's; ``claims`` those of its namespace by name; ``current`` and ``update`` its revisions."""
    return _Planner(owner, list(pods), claims, current, update, now_s).plan()


class _Planner(Struct):
    owner: Object
    pods: list[Object]
    claims: Mapping[str, Object]
    current: Object
    update: Object
    now_s: float
    replicas: dict[int, Object | None] = field(default_factory=dict)
    condemned: list[Object] = field(default_factory=list)
    out: dict[str, list[Any]] = field(
        default_factory=lambda: {
            "create": [], "claims": [], "correct": [], "claim_owners": [], "delete": [], "conflicts": [],
        }
    )  # fmt: skip

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.owner["spec"]
        return spec

    @property
    def start(self) -> int:
        return int((self.spec.get("ordinals") or {}).get("start") or 0)

    @property
    def min_ready_s(self) -> int:
        return int(self.spec.get("minReadySeconds") or 0)

    @property
    def is_ordered(self) -> bool:
        return bool(self.spec.get("podManagementPolicy") != "Parallel")

    def plan(self) -> Plan:
        self._sort_pods()
        if not objects.is_deleting(self.owner):
            self._establish()
        min_ready_s = self.min_ready_s
        wait_s = podstate.next_availability_s(self.pods, min_ready_s, self.now_s) if min_ready_s else None
        gone = {objects.uid(pod) for pod in self.out["delete"]}
        return Plan(
            **self.out,
            status=self._with_status(gone),
            failed_status=self._with_status(frozenset()),
            requeue_after_s=wait_s,
        )

    def _with_status(self, gone: Set[str]) -> Object | None:
        """The owner with the status that it has once the pods of these uids are deleted; None where it says so already."""
        status = self._status(gone)
        return None if _same_status(self.owner.get("status") or {}, status) else {**self.owner, "status": status}

    def _sort_pods(self) -> None:
        count, name = self.spec.get("replicas", 1), objects.name(self.owner)
        self.replicas = dict.fromkeys(range(self.start, self.start + count))
        for pod in self.pods:
            ordinal = ordinal_of(pod, name)
            if ordinal in self.replicas:
                self.replicas[ordinal] = pod
            elif ordinal is not None:
                self.condemned.append(pod)
        self.condemned.sort(key=lambda pod: ordinal_of(pod, name) or 0, reverse=True)

    def _establish(self) -> None:
        """Replicas first, in order; then what is beyond them, from the highest; then the update, from the highest."""
        for ordinal, pod in self.replicas.items():
            if self._replica(ordinal, pod) and self.is_ordered:
                return
        if self.out["create"] or self.out["delete"]:
            return
        first_unavailable = self._first_unavailable()
        for pod in self.condemned:
            self.out["claim_owners"] += self._retained(pod, ordinal_of(pod, objects.name(self.owner)) or 0)
        for pod in self.condemned:
            if self._condemn(pod, first_unavailable) and self.is_ordered:
                return
        if (self.spec.get("updateStrategy") or {}).get("type") != "OnDelete":
            self._roll()

    def _replica(self, ordinal: int, pod: Object | None) -> bool:
        """True where the next ordinal has to wait."""
        if pod is None:
            return self._add(ordinal)
        if podstate.is_finished(pod):
            if not objects.is_deleting(pod):
                self.out["delete"].append(pod)
            return True
        if podstate.phase(pod) == "Pending":
            self.out["claims"] += self._missing_claims(ordinal)
            self.out["claim_owners"] += self._retained(pod, ordinal)
        is_settled = self._available(pod) and not objects.is_deleting(pod)
        if self.is_ordered and not is_settled:
            return True
        self._correct(ordinal, pod)
        return False

    def _add(self, ordinal: int) -> bool:
        partition = self._partition()
        if partition is None:
            is_old = ordinal < self.start + ((self.owner.get("status") or {}).get("currentReplicas") or 0)
        else:
            is_old = ordinal < self.start + partition
        is_rolling = (self.spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
        revision = self.current if is_rolling and is_old else self.update
        pod = make_pod(history.with_revision(self.owner, revision), objects.name(revision), ordinal)
        there = [claim for _, claim in self._claims_of(ordinal) if claim is not None]
        if any(claimretention.goes_with_predecessor(self.owner, pod, claim) for claim in there):
            return True
        blocked_by = next((objects.name(claim) for claim in there if objects.is_deleting(claim)), "")
        self.out["create"].append(Creation(pod=pod, claims=self._missing_claims(ordinal), blocked_by=blocked_by))
        self.out["conflicts"] += [
            objects.name(claim) for claim in there if claimretention.is_foreign(self.owner, pod, claim)
        ]
        return True

    def _partition(self) -> int | None:
        rolling = (self.spec.get("updateStrategy") or {}).get("rollingUpdate")
        return int(rolling.get("partition") or 0) if rolling is not None else None

    def _claims_of(self, ordinal: int) -> list[tuple[Object, Object | None]]:
        return [(made, self.claims.get(objects.name(made))) for made in make_claims(self.owner, ordinal)]

    def _missing_claims(self, ordinal: int) -> list[Object]:
        return [made for made, there in self._claims_of(ordinal) if there is None]

    def _correct(self, ordinal: int, pod: Object) -> None:
        """Labels, volumes and claims as the identity wants them."""
        changed = pod
        if objects.labels(pod).get(POD_NAME_LABEL) != objects.name(pod):
            changed = _with_identity(changed, ordinal)
        if not self._has_its_storage(pod, ordinal):
            changed = _with_storage(changed, self.owner, ordinal)
            self.out["claims"] += [claim for claim in self._missing_claims(ordinal) if claim not in self.out["claims"]]
        is_done = podstate.phase(pod) == "Pending"
        claims = [] if is_done else self._retained(pod, ordinal)
        if changed is not pod or claims:
            self.out["correct"].append(
                Correction(name=objects.name(pod), pod=changed if changed is not pod else None, claim_owners=claims)
            )

    def _has_its_storage(self, pod: Object, ordinal: int) -> bool:
        mounted = {
            volume["name"]: (volume.get("persistentVolumeClaim") or {}).get("claimName")
            for volume in pod["spec"].get("volumes") or ()
        }
        return all(
            mounted.get(objects.name(template)) == claim_name(template, objects.name(self.owner), ordinal)
            for template in self.spec.get("volumeClaimTemplates") or ()
        )

    def _first_unavailable(self) -> Object | None:
        ordered = [*self.replicas.values(), *reversed(self.condemned)]
        return next((pod for pod in ordered if pod is not None and self._unavailable(pod)), None)

    def _condemn(self, pod: Object, first_unavailable: Object | None) -> bool:
        if objects.is_deleting(pod):
            return True
        if self.is_ordered and not self._available(pod) and pod is not first_unavailable:
            return True
        self.out["delete"].append(pod)
        return True

    def _roll(self) -> None:
        """Delete pods of other revisions, as many at once as may be unavailable, from the highest ordinal."""
        wanted, lowest = objects.name(self.update), self.start + (self._partition() or 0)
        rolling = (self.spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        most = rolling.get("maxUnavailable")
        descending = [pod for _, pod in sorted(self.replicas.items(), reverse=True) if pod is not None]
        if most is not None:
            allowed = max(scaled(most, len(self.replicas), round_up=False), 1)
            left = allowed - sum(map(self._unavailable, descending))
            old = [
                pod
                for pod in descending
                if (ordinal_of(pod, objects.name(self.owner)) or 0) >= lowest
                and revision_of(pod) != wanted
                and not objects.is_deleting(pod)
            ]
            self.out["delete"] += old[: max(left, 0)]
            return
        for pod in descending:
            if (ordinal_of(pod, objects.name(self.owner)) or 0) < lowest:
                return
            if revision_of(pod) != wanted and not objects.is_deleting(pod):
                self.out["delete"].append(pod)
                return
            if self._unavailable(pod):
                return

    def _available(self, pod: Object) -> bool:
        return podstate.phase(pod) == "Running" and podstate.is_available(pod, self.min_ready_s, self.now_s)

    def _unavailable(self, pod: Object) -> bool:
        return objects.is_deleting(pod) or not podstate.is_available(pod, self.min_ready_s, self.now_s)

    def _retained(self, pod: Object, ordinal: int) -> list[Object]:
        """The pod's claims that are to be changed so that they go with the set or with the pod, as the retention policy says."""
        changed = []
        for _, claim in self._claims_of(ordinal):
            if claim is None:
                continue
            wanted = claimretention.owners(self.owner, pod, claim, is_scaled_down=ordinal not in self.replicas)
            if wanted != objects.owner_references(claim):
                changed.append(objects.with_metadata(claim, ownerReferences=wanted or None))
                if claimretention.is_foreign(self.owner, pod, claim):
                    self.out["conflicts"].append(objects.name(claim))
        return changed

    def _status(self, gone: Set[str]) -> Object:
        old = self.owner.get("status") or {}
        current, update = objects.name(self.current), objects.name(self.update)
        alive = [pod for pod in self.pods if not objects.is_deleting(pod)]
        ready = [pod for pod in self.pods if podstate.phase(pod) == "Running" and podstate.is_ready(pod)]
        counts = {
            "readyReplicas": len(ready),
            "availableReplicas": sum(podstate.is_available(pod, self.min_ready_s, self.now_s) for pod in ready),
            "currentReplicas": sum(revision_of(pod) == current and objects.uid(pod) not in gone for pod in alive),
            "updatedReplicas": sum(revision_of(pod) == update and objects.uid(pod) not in gone for pod in alive),
        }
        replicas = self.spec.get("replicas", 1)
        is_rolling = (self.spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
        if is_rolling and counts["updatedReplicas"] == counts["readyReplicas"] == len(self.pods) == replicas:
            current, counts["currentReplicas"] = update, counts["updatedReplicas"]
        status: Object = {
            "observedGeneration": objects.generation(self.owner),
            "replicas": len(self.pods),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": old.get("collisionCount") or 0,
            "availableReplicas": counts.pop("availableReplicas"),
        }
        status |= {name: count for name, count in counts.items() if count}
        return status | ({"conditions": old["conditions"]} if old.get("conditions") else {})


def revision_of(pod: Mapping[str, Any]) -> str:
    return objects.labels(pod).get(history.REVISION_LABEL, "")


def _same_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all((old.get(name) or 0) == (new.get(name) or 0) for name in {*old, *new})
