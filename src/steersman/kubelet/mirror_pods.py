"""Mirror pods: what the API shows of static pods. Made, replaced and deleted to match; they follow, they never lead."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.kubelet.podspec import CONFIG_HASH, CONFIG_MIRROR
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

log = logging.getLogger(__name__)


def mirror_of(pod: Mapping[str, Any], node: Mapping[str, Any] | None) -> Object:
    """The object to create for a static pod."""
    annotations = {**objects.annotations(pod), CONFIG_MIRROR: objects.annotations(pod)[CONFIG_HASH]}
    metadata: Object = {
        "name": objects.name(pod),
        "namespace": objects.namespace(pod),
        "labels": dict(objects.labels(pod)),
        "annotations": annotations,
    }
    if node is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "name": objects.name(node),
                "uid": objects.uid(node),
                "controller": True,
            }
        ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


async def sync_mirrors(
    client: Client, *, static: Iterable[Object], mirrors: Iterable[Object], node: Mapping[str, Any] | None
) -> None:
    """Delete mirrors without a static pod or of an older one, create those that are missing."""
    wanted = {objects.key_of(pod): pod for pod in static}
    current: set[str] = set()
    for mirror in mirrors:
        pod = wanted.get(objects.key_of(mirror))
        same = (
            pod is not None and objects.annotations(mirror).get(CONFIG_MIRROR) == objects.annotations(pod)[CONFIG_HASH]
        )
        if same and not objects.is_deleting(mirror):
            current.add(objects.key_of(mirror))
            continue
        try:
            await client.delete(
                PODS,
                objects.name(mirror),
                namespace=objects.namespace(mirror),
                grace_period_s=0,
                uid=objects.uid(mirror),
            )
        except NotFound:
            pass
        except (APIError, Unreachable) as error:
            log.warning("cannot delete mirror pod %s: %s", objects.key_of(mirror), error)
            current.add(objects.key_of(mirror))
    for key, pod in wanted.items():
        if key not in current:
            try:
                await client.create(PODS, mirror_of(pod, node))
            except AlreadyExists:
                continue
            except (APIError, Unreachable) as error:
                log.warning("cannot create mirror pod %s: %s", key, error)
