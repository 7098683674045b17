"""``examples/operator`` under kopf as a client: handlers, finalizers, timers, daemons, peering, watches that resume.

The operator is a process of its own and a service account with no rights but those of its ``rbac.yaml``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.codecs import load_all_yaml
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, Service, ServiceAccount
from lightkube.types import PatchType

from tests.clients.conftest import ServedCluster
from tests.clients.kubectl import ROOT, eventually
from tests.clients.manifests import OPERATOR, website

Website: Any = create_namespaced_resource("example.com", "v1", "Website", "websites")
KopfPeering: Any = create_namespaced_resource("kopf.dev", "v1", "KopfPeering", "kopfpeerings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def says(self, text: str) -> None:
        eventually(lambda: text in self.log or self.process.poll() is not None)
        assert text in self.log, self.log


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A namespace with its operators."""

    client: Client
    kubeconfig: Path
    directory: Path

    @contextmanager
    def operator(self, name: str = "operator", *words: str) -> Iterator[Operator]:
        log_file = self.directory / f"{name}-{uuid.uuid4().hex[:4]}.log"
        files = (str(OPERATOR / "websites.py"), str(ROOT / "tests/clients/impatient.py"))
        argv = [sys.executable, "-m", "kopf", "run", "--verbose", "-n", self.client.namespace, *words, *files]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PYTHONWARNINGS": "ignore"}
        with log_file.open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
        started = Operator(process=process, log_file=log_file)
        try:
            yield started
            if process.poll() is None:
                process.terminate()
            process.wait(30)
            assert "Traceback" not in started.log, started.log
        finally:
            process.kill()
            process.wait()

    def create(self, name: str = "site", **spec: Any) -> None:
        self.client.create(Website(website(name, **spec)))

    def get(self, name: str = "site") -> Any:
        return self.client.get(Website, name)

    def status(self, name: str = "site") -> dict[str, Any]:
        return dict(self.get(name).get("status") or {})

    def is_published(self, name: str = "site") -> bool:
        return "url" in self.status(name)

    def change(self, name: str = "site", **spec: Any) -> None:
        self.client.patch(Website, name, {"spec": spec}, patch_type=PatchType.MERGE)

    def routes(self) -> dict[str, str]:
        return dict(self.client.get(ConfigMap, "routes").data or {})

    def page(self, name: str = "site") -> str:
        data: dict[str, str] = self.client.get(ConfigMap, name).data or {}
        return data["index.html"]

    def gone(self, kind: Any, name: str = "site") -> bool:
        try:
            self.client.get(kind, name)
        except ApiError as error:
            assert error.status.code == 404
            return True
        return False


@pytest.fixture(scope="module")
def operated(served: ServedCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of the operator's service account, once all that it needs is installed."""
    config = KubeConfig.from_file(served.kubeconfig())
    with Client(config.get(), field_manager="tests") as client:
        for name in ("crd.yaml", "peering.yaml", "rbac.yaml"):
            made: Any = load_all_yaml((OPERATOR / name).read_text())
            for found in made:
                client.apply(found)
        for name in ("websites.example.com", "kopfpeerings.kopf.dev"):
            client.wait(CustomResourceDefinition, name, for_conditions=["Established"])
        request: Any = ServiceAccount.Token(
            metadata=ObjectMeta(name="websites", namespace="websites"), spec=TokenRequestSpec(audiences=[])
        )
        token = client.create(request, "websites", namespace="websites").status.token
    document = yaml.safe_load(served.kubeconfig().read_text())
    document["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path_factory.mktemp("operator") / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(document))
    return kubeconfig


@pytest.fixture
def site(served: ServedCluster, operated: Path, tmp_path: Path) -> Iterator[Site]:
    """A namespace of the test's own. No finalizer is left in it that nobody would take off."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with Client(KubeConfig.from_file(served.kubeconfig()).get(), namespace=name, field_manager="tests") as client:
        client.create(Namespace(metadata=ObjectMeta(name=name)))
        made = Site(client=client, kubeconfig=operated, directory=tmp_path)
        yield made
        for found in client.list(Website):
            client.patch(Website, found.metadata.name, {"metadata": {"finalizers": None}}, patch_type=PatchType.MERGE)
        client.delete(Namespace, name)


@pytest.mark.timeout(300)
def test_a_website_from_its_creation_to_its_end(site: Site) -> None:
    with site.operator():
        site.create(replicas=2)
        eventually(lambda: site.status().get("readyReplicas") == 2)  # the daemon counts
        eventually(lambda: site.status().get("url") == "http://site.example/")
        found = site.get()
        assert found.metadata.finalizers == ["example.com/routes"]
        assert found.metadata.generation == 1  # neither the status nor kopf's annotations are changes of it
        assert (site.page(), site.routes()) == ("<p>hello", {"site.example": "site"})
        for kind in (ConfigMap, Deployment, Service):
            made: Any = site.client.get(kind, "site")
            [owner] = made.metadata.ownerReferences
            assert (owner.kind, owner.uid) == ("Website", found.metadata.uid)

        site.change(html="<p>new")
        eventually(lambda: site.page() == "<p>new")
        scale = Website.Scale(metadata=ObjectMeta(name="site", namespace=site.client.namespace), spec=ScaleSpec(3))
        site.client.replace(scale, "site")
        eventually(lambda: site.status().get("readyReplicas") == 3)
        eventually(lambda: site.client.get(Website.Scale, "site").status.replicas == 3)

        site.client.patch(ConfigMap, "site", {"data": {"index.html": "<p>theirs"}})
        eventually(lambda: site.page() == "<p>new")  # the timer's doing

        site.client.delete(Website, "site")
        eventually(lambda: site.gone(Website), timeout_s=90)
        assert site.routes() == {}
        for kind in (ConfigMap, Deployment, Service):
            # The garbage collector looks for new kinds twice a minute.
            eventually(partial(site.gone, kind), timeout_s=90)


def test_events_are_posted(site: Site) -> None:
    def published() -> list[Event]:
        return list(site.client.list(Event, fields={"reason": "Published"}))

    with site.operator():
        site.create()
        [event] = eventually(published)
        assert (event.type, event.reportingComponent, event.involvedObject.name) == ("Normal", "kopf", "site")
        assert event.message == "site.example is served (create)"
        assert event.involvedObject.uid == site.get().metadata.uid


def test_a_host_has_one_website(site: Site) -> None:
    """The conflict of two field managers decides, and kopf tries again until the first has gone."""
    with site.operator() as operator:
        site.create("first", host="same.example")
        eventually(partial(site.is_published, "first"))
        site.create("second", host="same.example")
        operator.says("host same.example belongs to another Website")
        assert "url" not in site.status("second")
        site.client.delete(Website, "first")
        eventually(partial(site.is_published, "second"))
        assert site.routes() == {"same.example": "second"}


def test_what_happened_without_an_operator_is_made_up_for(site: Site) -> None:
    with site.operator():
        for name in ("kept", "changed", "deleted"):
            site.create(name)
        for name in ("kept", "changed", "deleted"):
            eventually(partial(site.is_published, name))
        kept = site.client.get(Deployment, "kept").metadata
    site.change("changed", html="<p>new")
    site.client.delete(Website, "deleted")
    site.create("created")
    assert not site.gone(Website, "deleted")  # its finalizer holds it
    with site.operator() as operator:
        eventually(lambda: site.page("changed") == "<p>new")
        eventually(partial(site.is_published, "created"))
        eventually(lambda: site.gone(Website, "deleted"))
        operator.says("kept] Handler 'publish' succeeded")
        assert site.client.get(Deployment, "kept").metadata == kept  # applying the same again changes nothing
    assert site.routes() == {f"{name}.example": name for name in ("kept", "changed", "created")}


def test_watches_resume_where_they_were(site: Site) -> None:
    """The server ends each after a second; nothing is missed and nothing is handled twice."""
    with site.operator() as operator:
        for number in range(4):
            site.create(f"site{number}")
            eventually(partial(site.is_published, f"site{number}"))
        for number in range(4):
            site.change(f"site{number}", html="<p>new")
            operator.says(f"/site{number}] Handler 'publish/spec' succeeded")
            assert site.page(f"site{number}") == "<p>new"
        for number in range(4):
            site.client.delete(Website, f"site{number}")
            eventually(partial(site.gone, Website, f"site{number}"))
    for number in range(4):
        lines = [line for line in operator.log.splitlines() if f"/site{number}]" in line]
        handlers = ("publish", "publish/spec", "retire")
        handled = [sum(f"Handler '{name}' succeeded" in line for line in lines) for name in handlers]
        assert handled == [1, 1, 1], operator.log
    assert "Restarting the watch-stream" not in operator.log  # which is what a version that expired would lead to


def test_of_two_operators_the_one_of_higher_priority_acts(site: Site) -> None:
    site.client.create(KopfPeering({"metadata": {"name": "websites"}}))
    peering = ("--peering=websites",)

    def peers() -> list[int]:
        status = site.client.get(KopfPeering, "websites").get("status") or {}
        return sorted(entry["priority"] for entry in status.values())

    with site.operator("low", *peering, "--priority=1") as low:
        eventually(lambda: peers() == [1])
        with site.operator("high", *peering, "--priority=2") as high:
            low.says("Pausing operations in favour of")
            assert peers() == [1, 2]
            site.create("a")
            eventually(partial(site.is_published, "a"))
            high.says("a] Handler 'publish' succeeded")
            assert "Handler 'publish'" not in low.log
        low.says("Resuming operations after the pause")
        assert peers() == [1]
        site.create("b")
        eventually(partial(site.is_published, "b"))
        low.says("b] Handler 'publish' succeeded")
    assert peers() == []


def test_what_the_operator_may_not_do(site: Site, operated: Path) -> None:
    config = KubeConfig.from_file(operated).get()
    refused: list[Callable[[Client], object]] = [
        lambda client: client.delete(Website, "site"),
        lambda client: next(iter(client.list(ConfigMap))),
        lambda client: client.create(Namespace(metadata=ObjectMeta(name="more"))),
    ]
    with Client(config, namespace=site.client.namespace) as operator:
        for request in refused:
            with pytest.raises(ApiError, match='User "system:serviceaccount:websites:websites" cannot'):
                request(operator)
