"""Images from a real registry: pull policies, failures, and every way to have credentials."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, SECRETS, SERVICEACCOUNTS
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded
from tests.kubelet.real.registry import PASSWORD, USER, Registry, missing, registry

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(missing()), reason=missing())]
SAY = "echo version $VERSION"


@pytest.fixture
async def private(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path / "registry", authenticated=True) as running:
        yield running


def waits_for(pod: Object) -> str:
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return str(statuses[0]["state"].get("waiting", {}).get("reason", ""))


async def run(node: RealNode, name: str, image: str, policy: str, **spec: Any) -> str:
    """What a pod of the image says of its version."""
    container = shell(SAY, image=image, imagePullPolicy=policy)
    await node.create(name, container, restartPolicy="Never", **spec)
    pod = await node.until(name, succeeded)
    said = node.log_of(pod, "main").strip()
    await node.delete(name)
    return said.removeprefix("version ")


async def events_of(node: RealNode, name: str) -> list[tuple[str, str, str]]:
    found = await node.client.list(EVENTS, namespace="default")
    return [
        (event["type"], event["reason"], event["message"])
        for event in found.items
        if event["involvedObject"]["name"] == name
    ]


async def pull_secret(node: RealNode, name: str, host: str, password: str = PASSWORD, *, old: bool = False) -> Object:
    auth = {host: {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}}
    key = ".dockercfg" if old else ".dockerconfigjson"
    data = base64.b64encode(json.dumps(auth if old else {"auths": auth}).encode()).decode()
    metadata = {"name": name, "namespace": "default"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": f"kubernetes.io/{key[1:]}"}
    return await node.client.create(SECRETS, {**secret, "data": {key: data}})


async def test_policies_when_a_tag_moves(node: RealNode, tmp_path: Path) -> None:
    async with registry(tmp_path / "registry") as public, node.kubelet():
        image = await public.push("app", "1", version="first")
        assert await run(node, "first", image, "IfNotPresent") == "first"
        await public.push("app", "1", version="second")
        assert await run(node, "present", image, "IfNotPresent") == "first"
        assert await run(node, "never", image, "Never") == "first"
        assert await run(node, "always", image, "Always") == "second"
        assert await run(node, "later", image, "IfNotPresent") == "second"
        said = await events_of(node, "always")
        assert ("Normal", "Pulling", f'Pulling image "{image}"') in said
        [pulled] = [message for _, reason, message in said if reason == "Pulled"]
        assert pulled.startswith(f'Successfully pulled image "{image}" in ')
        assert "including waiting). Image size: " in pulled
        present = f'Container image "{image}" already present on machine and can be accessed by the pod'
        assert ("Normal", "Pulled", present) in await events_of(node, "present")


async def test_an_image_that_is_not_there_and_never_pulled(node: RealNode, tmp_path: Path) -> None:
    async with registry(tmp_path / "registry") as public, node.kubelet():
        image = await public.push("unseen", "1", version="1")
        await node.create("absent", shell(SAY, image=image, imagePullPolicy="Never"))
        pod = await node.until("absent", lambda pod: waits_for(pod) == "ErrImageNeverPull")
        text = f'Container image "{image}" is not present with pull policy of Never'
        assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == text
        said = await node.eventually(lambda: events_of(node, "absent"))
        assert ("Warning", "ErrImageNeverPull", text) in said
        assert ("Warning", "Failed", "Error: ErrImageNeverPull") in said
        await node.delete("absent")


async def test_wrong_credentials_back_off_until_they_are_mended(node: RealNode, private: Registry) -> None:
    image = await private.push("guarded", "1", version="1")
    secret = await pull_secret(node, "key", private.host, "wrong")
    right = await pull_secret(node, "right", private.host)
    async with node.kubelet():
        await node.create(
            "locked", shell(SAY + "; sleep 1000", image=image, imagePullPolicy="Always"),
            imagePullSecrets=[{"name": "key"}, {"name": "no-such"}],
        )  # fmt: skip
        pod = await node.until("locked", lambda pod: waits_for(pod) == "ErrImagePull")
        failure = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        assert f'failed to pull and unpack image "{image}"' in failure
        pod = await node.until("locked", lambda pod: waits_for(pod) == "ImagePullBackOff")
        waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        assert waiting == f'Back-off pulling image "{image}": ErrImagePull: {failure}'

        async def told() -> list[tuple[str, str, str]]:
            said = await events_of(node, "locked")
            return said if any(reason == "BackOff" for _, reason, _ in said) else []

        said = await node.eventually(told)
        assert ("Warning", "Failed", f'Failed to pull image "{image}": {failure}') in said
        assert ("Warning", "Failed", "Error: ErrImagePull") in said
        assert ("Normal", "BackOff", f'Back-off pulling image "{image}"') in said
        assert ("Warning", "Failed", "Error: ImagePullBackOff") in said
        lost = "Unable to retrieve some image pull secrets (no-such); attempting to pull the image may not succeed."
        assert ("Warning", "FailedToRetrieveImagePullSecret", lost) in said
        await node.client.update(SECRETS, {**secret, "data": right["data"]})
        await node.until("locked", is_ready, within_s=60)
        await node.delete("locked")


@pytest.mark.parametrize("old", [False, True])
async def test_pull_secrets_of_pods_and_of_their_service_account(node: RealNode, private: Registry, old: bool) -> None:
    image = await private.push(f"secret-{old}".lower(), "1", version="1")
    await pull_secret(node, "key", private.host, old=old)
    await pull_secret(node, "wrong", private.host, "wrong")
    async with node.kubelet():
        secrets = [{"name": "wrong"}, {"name": "key"}]
        assert await run(node, "pods", image, "Always", imagePullSecrets=secrets) == "1", "each is tried"
        account = await node.client.get(SERVICEACCOUNTS, "default", namespace="default")
        await node.client.update(SERVICEACCOUNTS, {**account, "imagePullSecrets": [{"name": "key"}]})

        async def admitted() -> bool:
            pod = await node.create("probe", shell("true"))
            await node.delete("probe")
            return bool(pod["spec"].get("imagePullSecrets"))

        await node.eventually(admitted)
        assert await run(node, "accounts", image, "Always") == "1"


async def test_an_image_that_took_a_secret_is_for_those_who_have_it(node: RealNode, private: Registry) -> None:
    image = await private.push("tenant", "1", version="1")
    await pull_secret(node, "key", private.host)
    await pull_secret(node, "copy", private.host)
    async with node.kubelet():
        assert await run(node, "owner", image, "IfNotPresent", imagePullSecrets=[{"name": "key"}]) == "1"
    async with node.kubelet():
        await node.create("thief", shell(SAY, image=image, imagePullPolicy="Never"))
        await node.create("beggar", shell(SAY, image=image, imagePullPolicy="IfNotPresent"))
        await node.until("thief", lambda pod: waits_for(pod) == "ErrImageNeverPull")
        await node.until("beggar", lambda pod: waits_for(pod) in ("ErrImagePull", "ImagePullBackOff"))
        assert await run(node, "again", image, "Never", imagePullSecrets=[{"name": "copy"}]) == "1"
        await node.delete("thief", "beggar")


async def test_a_credential_provider_gives_the_credentials(node: RealNode, private: Registry, tmp_path: Path) -> None:
    image = await private.push("provided", "1", version="1")
    version = "credentialprovider.kubelet.k8s.io/v1"
    programs = tmp_path / "programs"
    programs.mkdir()
    answer = {
        "kind": "CredentialProviderResponse", "apiVersion": version, "cacheKeyType": "Registry", "cacheDuration": "1m",
        "auth": {private.host: {"username": USER, "password": PASSWORD}},
    }  # fmt: skip
    (programs / "giver").write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{json.dumps(answer)}'\n")
    (programs / "giver").chmod(0o755)
    provider = {
        "name": "giver", "apiVersion": version, "matchImages": [private.host], "defaultCacheDuration": "0s",
        "tokenAttributes": {
            "serviceAccountTokenAudience": "registry", "cacheType": "ServiceAccount", "requireServiceAccount": True
        },
    }  # fmt: skip
    config = tmp_path / "providers.yaml"
    document = {"kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1", "providers": [provider]}
    config.write_text(yaml.safe_dump(document))
    node.config = replace(
        node.config, image_credential_provider_config=config, image_credential_provider_bin_dir=programs
    )  # fmt: skip
    async with node.kubelet():
        assert await run(node, "given", image, "Always") == "1"
        asked = json.loads((tmp_path / "asked").read_text())
        assert asked["image"] == f"{private.host}/provided"
        body = asked["serviceAccountToken"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        assert (claims["aud"], claims["sub"]) == (["registry"], "system:serviceaccount:default:default")
        assert claims["kubernetes.io"]["pod"]["name"] == "given"
        assert await run(node, "present", image, "Never") == "1", "the same service account may have it again"
