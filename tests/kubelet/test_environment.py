"""Where a container's variables come from, and how references expand."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from steersman.kubelet.env_files import EnvFileError, find_variable
from steersman.kubelet.environment import EnvironmentContext, EnvironmentFailed, environment, service_variables
from steersman.kubelet.expansion import expand, expand_strictly
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from tests.kubelet.pods import container, pod


class Objects:
    """ConfigMaps and Secrets by name."""

    def __init__(self, **by_name: dict[str, str]) -> None:
        self._by_name = by_name

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        if name not in self._by_name:
            raise NotFound(f'{resource.kind.lower()} "{name}" not found')
        data = self._by_name[name]
        if resource.plural == "secrets":
            data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return {"data": data}


async def variables(spec: Object, **services: str) -> dict[str, str]:
    obj = pod(spec, metadata={"labels": {"app": "web"}}, serviceAccountName="robot")
    context = EnvironmentContext(
        pod=obj,
        source=Objects(settings={"colour": "green", "size": "big"}, secret={"key": "hidden"}),
        services=services,
        host_ips=("192.0.2.1",),
        pod_ips=("10.0.0.2", "fd00::2"),
        allocatable={"cpu": "4", "memory": "8Gi"},
    )
    return await environment(context, spec)


def env(name: str, **fields: Any) -> Object:
    return {"name": name, **fields}


async def test_values_expand_what_came_before_and_services() -> None:
    found = await variables(
        container(env=[env("A", value="1"), env("B", value="$(A)-$(S)-$(C)-$$(A)"), env("C", value="3")]), S="svc"
    )
    assert found == {"S": "svc", "A": "1", "B": "1-svc-$(C)-$(A)", "C": "3"}


async def test_later_sources_win() -> None:
    spec = container(
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "secret"}, "prefix": "S_"}],
        env=[env("size", value="small")],
    )
    assert await variables(spec, colour="red") == {"colour": "green", "size": "small", "S_key": "hidden"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['none']", ""),
        ("spec.serviceAccountName", "robot"),
        ("spec.nodeName", "node-1"),
        ("status.hostIP", "192.0.2.1"),
        ("status.podIP", "10.0.0.2"),
        ("status.podIPs", "10.0.0.2,fd00::2"),
    ],
)
async def test_fields_of_the_pod(path: str, value: str) -> None:
    found = await variables(container(env=[env("X", valueFrom={"fieldRef": {"fieldPath": path}})]))
    assert found["X"] == value


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "1", "2"), ("limits.cpu", "1m", "1500"), ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Gi", "8"), ("requests.cpu", "", "0"),
    ],
)  # fmt: skip
async def test_resources_are_rounded_up_and_default_to_the_nodes(resource: str, divisor: str, value: str) -> None:
    spec = container(
        resources={"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}},
        env=[
            env(
                "X", valueFrom={"resourceFieldRef": {"resource": resource, **({"divisor": divisor} if divisor else {})}}
            )
        ],
    )
    assert (await variables(spec))["X"] == value


async def test_optional_sources_may_be_missing() -> None:
    spec = container(
        envFrom=[{"configMapRef": {"name": "absent", "optional": True}}],
        env=[
            env("A", valueFrom={"secretKeyRef": {"name": "absent", "key": "k", "optional": True}}),
            env("B", valueFrom={"configMapKeyRef": {"name": "settings", "key": "k", "optional": True}}),
        ],
    )
    assert await variables(spec) == {}


async def test_what_must_be_there_is_named() -> None:
    with pytest.raises(NotFound, match='configmap "absent" not found'):
        await variables(container(envFrom=[{"configMapRef": {"name": "absent"}}]))
    missing = env("A", valueFrom={"secretKeyRef": {"name": "secret", "key": "k"}})
    with pytest.raises(EnvironmentFailed, match="couldn't find key k in Secret default/secret"):
        await variables(container(env=[missing]))


async def test_an_unknown_source_is_refused_by_name() -> None:
    with pytest.raises(EnvironmentFailed, match="otherRef"):
        await variables(container(env=[env("A", valueFrom={"otherRef": {}})]))


def test_services_become_variables() -> None:
    def service(name: str, namespace: str, address: str, *ports: Object) -> Object:
        return {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": address, "ports": list(ports)},
        }

    everything = [
        service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443, "protocol": "TCP"}),
        service("my-db", "shop", "10.96.0.7", {"port": 5432, "protocol": "TCP"}),
        service("headless", "shop", "None", {"port": 1}),
        service("other", "elsewhere", "10.96.0.8", {"port": 1}),
    ]
    found = service_variables(everything, "shop", links=True)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_DB_PORT"] == "tcp://10.96.0.7:5432"
    assert found["MY_DB_PORT_5432_TCP_ADDR"] == "10.96.0.7"
    assert not [name for name in found if name.startswith(("HEADLESS", "OTHER"))]
    assert not [name for name in service_variables(everything, "shop", links=False) if name.startswith("MY_DB")]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$(B)", "$(B)"), ("$A", "$A"), ("$", "$"), ("a$(A)b$(A)", "a1b1"), ("$(A", "$(A")],
)  # fmt: skip
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_a_path_must_not_keep_a_reference() -> None:
    assert expand_strictly("a/$(A)", {"A": "1"}) == "a/1"
    with pytest.raises(ValueError, match="B"):
        expand_strictly("a/$(B)", {"A": "1"})


async def from_file(folder: Path, *, key: str = "A", path: str = "env", **more: Any) -> dict[str, str]:
    reference = {"volumeName": "files", "path": path, "key": key, **more}
    spec = container(env=[env("X", valueFrom={"fileKeyRef": reference})])
    context = EnvironmentContext(
        pod=pod(spec), source=Objects(), services={}, allocatable={}, volumes={"files": folder}
    )
    return await environment(context, spec)


async def test_variables_come_from_files_in_volumes(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("B='no'\nA='yes'")
    assert await from_file(tmp_path) == {"X": "yes"}
    assert await from_file(tmp_path, key="C", optional=True) == {}
    with pytest.raises(EnvironmentFailed, match='variable key "C" not found in file'):
        await from_file(tmp_path, key="C")
    with pytest.raises(EnvironmentFailed, match="couldn't parse env file"):
        await from_file(tmp_path, path="other", optional=True)


async def test_files_of_variables_do_not_leave_their_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").write_text("A='secret'")
    (volume / "up").symlink_to("../outside")
    (volume / "absolute").symlink_to(tmp_path / "outside")
    os.mkfifo(volume / "pipe")
    for path in ("up", "absolute", "pipe", "."):
        with pytest.raises(EnvironmentFailed, match="couldn't parse"):
            await from_file(volume, path=path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A='1'", "1"),
        ("  \n# A='0'\n\tA='1' # why", "1"),
        ("A='two\nlines # not a comment'\n", "two\nlines # not a comment"),
        ("A='$HOME \\n \"'", '$HOME \\n "'),
        ("A= '1'", ""),
        ("A=''", ""),
        ("B='A='\nA='2'", "2"),
        ("A='1'\nA='2'\nnonsense", "1"),
        ("A='1'\r\n", "1"),
        ("", ""),
    ],
)
def test_files_of_variables_are_a_strict_part_of_the_shells_language(text: str, value: str) -> None:
    assert find_variable(text, "A") == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "line 1: missing '='"),
        ("='1'", "line 1: empty variable name"),
        ("B='1'\nA ='1'", "line 2: whitespace before '=' is not allowed"),
        ("A=1", "line 1: value must be enclosed in single quotes"),
        ('A="1"', "line 1: value must be enclosed in single quotes"),
        ("A='1' 2", "line 1: unexpected content after closing quote"),
        ("B='x'\nA='1\n2", "starting at line 2: unclosed single quote"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, complaint: str) -> None:
    with pytest.raises(EnvFileError, match=complaint):
        find_variable(text, "A")
