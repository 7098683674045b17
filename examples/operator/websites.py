"""An operator, written with kopf: what a ``Website`` asks for becomes a ConfigMap, a Deployment and a Service.

    kubectl apply -f examples/operator/crd.yaml -f examples/operator/rbac.yaml
    kopf run -A examples/operator/websites.py

What is made has the Website for its owner, so that the garbage collector removes it. The ConfigMap ``routes`` of the
namespace, which lists the host names of all its Websites, has many authors: each Website applies its own line under a
field manager of its own, and takes it out before it goes. That is what the finalizer is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import kopf
from lightkube import ApiError, AsyncClient
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStatus
from lightkube.models.core_v1 import (
    ConfigMapVolumeSource,
    Container,
    PodSpec,
    PodTemplateSpec,
    ServicePort,
    ServiceSpec,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Service
from lightkube.types import PatchType

MANAGER = "websites"
ROUTES = "routes"
PAGES = "/usr/share/nginx/html"
Website = create_namespaced_resource("example.com", "v1", "Website", "websites")


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    settings.persistence.finalizer = "example.com/routes"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="websites.example.com")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="websites.example.com")
    settings.watching.server_timeout = 240
    settings.posting.level = 20
    memo.client = AsyncClient(field_manager=MANAGER)  # for the whole process: timers may outlive kopf's cleanup


@kopf.on.create("websites")
@kopf.on.update("websites", field="spec")
@kopf.on.resume("websites")
async def publish(body: kopf.Body, patch: kopf.Patch, reason: str, memo: kopf.Memo, **_: Any) -> None:
    """Make everything as the Website says, whatever there was. Of two with one host, the later waits for the other's end."""
    await claim_host(memo.client, body)
    for made in wanted(body):
        await memo.client.apply(made, force=True)
    patch.status["url"] = f"http://{body.spec['host']}/"
    kopf.info(body, reason="Published", message=f"{body.spec['host']} is served ({reason})")


def is_published(status: kopf.Status, **_: Any) -> bool:
    return "url" in status


@kopf.on.delete("websites")
async def retire(body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:
    """What owner references cannot clean up: the line of a shared object."""
    try:
        await memo.client.get(ConfigMap, ROUTES, namespace=body.meta.namespace)
    except ApiError as error:
        if error.status.code != 404:
            raise
        return  # the whole namespace goes, and nothing can be made in it any more
    await memo.client.apply(routes(body), field_manager=manager_of(body))


@kopf.timer("websites", interval=5, backoff=5, when=is_published)
async def revert(body: kopf.Body, memo: kopf.Memo, logger: kopf.Logger, **_: Any) -> None:
    """Changes that somebody made to what belongs to the Website do not last."""
    name, namespace = body.meta.name, body.meta.namespace
    for made in wanted(body):
        before = await memo.client.get(type(made), name, namespace=namespace)
        after = await memo.client.apply(made, force=True)
        if after.metadata.resourceVersion != before.metadata.resourceVersion:
            logger.info(f"{type(made).__name__} {name} was changed by somebody else: changed back")


@kopf.daemon("websites", cancellation_timeout=5, backoff=5)
async def count(name: str, namespace: str | None, memo: kopf.Memo, **_: Any) -> None:
    """The Deployment's counts of pods are the Website's, as soon as they change."""
    client = memo.client
    shown: Mapping[str, int] = {}
    async for kind, found in client.watch(Deployment, namespace=namespace, fields={"metadata.name": name}):
        status = DeploymentStatus() if kind == "DELETED" else found.status
        counts = {"replicas": status.replicas or 0, "readyReplicas": status.readyReplicas or 0}
        if counts != shown:
            change = {"status": counts}
            await client.patch(Website.Status, name, change, namespace=namespace, patch_type=PatchType.MERGE)
            shown = counts


async def claim_host(client: AsyncClient, body: kopf.Body) -> None:
    """Raises ``kopf.TemporaryError`` while another Website of the namespace has it."""
    host = body.spec["host"]
    try:
        await client.apply(routes(body, {host: body.meta.name}), field_manager=manager_of(body))
    except ApiError as error:
        if error.status.code != 409:
            raise
        message = f"host {host} belongs to another Website: {error.status.message}"
        raise kopf.TemporaryError(message, delay=5) from error


def manager_of(body: kopf.Body) -> str:
    return f"{MANAGER}/{body.meta.uid}"


def routes(body: kopf.Body, lines: dict[str, str] | None = None) -> ConfigMap:
    """No lines is no ``data``: an empty map would be a claim to the whole of it."""
    metadata = ObjectMeta(name=ROUTES, namespace=body.meta.namespace)
    return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=metadata, data=lines)


def wanted(body: kopf.Body) -> tuple[ConfigMap, Deployment, Service]:
    """What a Website owns. New HTML means new pods: its digest is an annotation of theirs."""
    spec, labels = body.spec, {"example.com/website": body.meta.name}
    pages = {"index.html": spec["html"]}
    annotations = {"example.com/html": hashlib.sha256(spec["html"].encode()).hexdigest()}
    container = Container(
        name="web",
        image=spec["image"],
        volumeMounts=[VolumeMount(name="pages", mountPath=PAGES, readOnly=True)],
    )
    pods = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels, annotations=annotations),
        spec=PodSpec(
            containers=[container], volumes=[Volume(name="pages", configMap=ConfigMapVolumeSource(name=body.meta.name))]
        ),
    )
    replicas = DeploymentSpec(replicas=spec["replicas"], selector=LabelSelector(matchLabels=labels), template=pods)
    port = ServiceSpec(selector=labels, ports=[ServicePort(name="http", port=80, protocol="TCP")])
    return (
        ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=owned(body), data=pages),
        Deployment(apiVersion="apps/v1", kind="Deployment", metadata=owned(body), spec=replicas),
        Service(apiVersion="v1", kind="Service", metadata=owned(body), spec=port),
    )


def owned(body: kopf.Body) -> ObjectMeta:
    """The Website's own name, and it as the owner."""
    owner = OwnerReference(
        apiVersion=body["apiVersion"], kind=body["kind"], name=body.meta.name, uid=body.meta.uid, controller=True
    )
    return ObjectMeta(name=body.meta.name, namespace=body.meta.namespace, ownerReferences=[owner])
