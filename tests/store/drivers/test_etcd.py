"""The etcd driver keeps the Store's contract on every etcd found here, plain and with mutual TLS."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from steersman.aio.clock import SystemClock
from steersman.store.api import Put, StoreUnavailable
from steersman.store.drivers.etcd import EtcdStore
from steersman.store.drivers.etcd_connection import EtcdConfig
from steersman.store.objects import KeyExists, Modified, ObjectStore
from steersman.store.subscriptions import Events, Subscription
from steersman.testing.etcd import Certificates, EtcdServer, find_etcds
from steersman.testing.store_histories import Step, run_history, steps
from steersman.testing.store_suite import Driver, StoreSuite
from steersman.testing.waiting import eventually

PODS = "/registry/pods/default/"
programs = find_etcds()
pytestmark = pytest.mark.skipif(not programs, reason="no etcd on this machine")


@pytest.fixture(scope="module", params=programs, ids=lambda program: program.parent.parent.name)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(request.param, tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    folder = tmp_path_factory.mktemp("etcd-tls")
    with EtcdServer(programs[0], folder, Certificates.issue(folder)) as server:
        yield server


class TestEtcd(StoreSuite):
    @pytest.fixture
    def driver(self, server: EtcdServer) -> Driver:
        return Driver(open=lambda: EtcdStore(server.config))


class TestEtcdWithMutualTLS(StoreSuite):
    @pytest.fixture
    def driver(self, tls_server: EtcdServer) -> Driver:
        return Driver(open=lambda: EtcdStore(tls_server.config))


folders = itertools.count()


@given(steps)
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,  # a failure shrinks for minutes on a real etcd: look for new histories by hand, not in CI
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_etcd_keeps_to_the_model(server: EtcdServer, history: Sequence[Step]) -> None:
    driver = Driver(open=lambda: EtcdStore(server.config))
    asyncio.run(run_history(driver, f"/history/{next(folders)}/", history))


async def test_a_client_without_certificate_is_refused(tls_server: EtcdServer, tmp_path: Path) -> None:
    trusted = tls_server.config
    with pytest.raises(StoreUnavailable):
        await EtcdStore(EtcdConfig(endpoints=trusted.endpoints, ca_file=trusted.ca_file)).start()
    stranger = Certificates.issue(tmp_path)
    with pytest.raises(StoreUnavailable):
        await EtcdStore(
            EtcdConfig(
                endpoints=trusted.endpoints,
                ca_file=trusted.ca_file,
                cert_file=stranger.client.certificate,
                key_file=stranger.client.key,
            )
        ).start()
    with pytest.raises(StoreUnavailable):
        await EtcdStore(EtcdConfig(endpoints=trusted.endpoints, ca_file=stranger.ca_file)).start()


async def test_the_next_member_is_asked_when_one_does_not_answer(server: EtcdServer) -> None:
    store = EtcdStore(EtcdConfig(endpoints=("http://127.0.0.1:1", *server.config.endpoints)))
    await store.start()
    assert (await store.transact([], [Put(key="/failover", value=b"")])).succeeded
    await store.close()


async def test_what_etcd_refuses_is_an_error_of_the_caller(server: EtcdServer) -> None:
    store = EtcdStore(server.config)
    await store.start()
    with pytest.raises(ValueError, match="too large"):
        await store.transact([], [Put(key="/big", value=b"x" * 2_000_000)])
    await store.close()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:2379", "unix:///x", "https://", "https://a/path"])
def test_endpoints_are_urls(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not supported"):
        EtcdConfig(endpoints=(endpoint,))


class TestObjectsOnEtcd:
    """The watch cache of an API server on a store that other API servers write to."""

    async def opened(self, stack: AsyncExitStack, server: EtcdServer) -> ObjectStore:
        store = EtcdStore(server.config)
        await store.start()
        stack.push_async_callback(store.close)
        objects = ObjectStore(store, clock=SystemClock())
        await objects.start()
        stack.push_async_callback(objects.close)
        return objects

    async def test_two_servers_see_each_others_writes_at_once(self, server: EtcdServer) -> None:
        async with AsyncExitStack() as stack:
            one, two = await self.opened(stack, server), await self.opened(stack, server)
            watch = two.watch(PODS, start_revision=None)
            count = 200
            stored = await one.create(PODS + "x", {"spec": 0})
            for spec in range(1, count):
                writer, reader = (one, two) if spec % 2 else (two, one)
                stored = await writer.update(PODS + "x", {"spec": spec}, expected_revision=stored.revision)
                found = await reader.get(PODS + "x")
                assert found is not None
                assert found.obj["spec"] == spec
            deleted = await two.delete(PODS + "x")
            assert (await one.list(PODS)).items == []
            seen = [event async for events in bounded(watch, count + 1) for event in events]
            assert [event.stored.obj["spec"] for event in seen] == [*range(count), count - 1]
            assert seen[-1].revision == deleted.revision

    async def test_of_two_servers_only_one_wins(self, server: EtcdServer) -> None:
        async with AsyncExitStack() as stack:
            one, two = await self.opened(stack, server), await self.opened(stack, server)
            stored = await one.create(PODS + "contended", {"spec": 0})
            results = await asyncio.gather(
                *(
                    objects.update(PODS + "contended", {"spec": i}, expected_revision=stored.revision)
                    for i, objects in enumerate((one, two) * 5, 1)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(result, Modified) for result in results) == 9
            await one.delete(PODS + "contended")

    async def test_killing_etcd_under_load_loses_nothing(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            server = stack.enter_context(EtcdServer(programs[-1], tmp_path))
            objects = await self.opened(stack, server)
            started = objects.revision
            watch = objects.watch(PODS, start_revision=None)
            writers = [asyncio.ensure_future(count_up(objects, f"{PODS}{i}", 150)) for i in range(8)]
            for _ in range(2):
                async for _ in bounded(watch, 200):
                    pass
                server.kill()
                await asyncio.to_thread(server.start)
            acknowledged = await asyncio.gather(*writers)
            seen: dict[str, list[int]] = {}
            revisions = []
            async for events in bounded(objects.watch(PODS, start_revision=started), 8 * 150):
                for event in events:
                    seen.setdefault(event.key, []).append(event.stored.obj["spec"])
                    revisions.append(event.revision)
            assert revisions == sorted(set(revisions))
            assert all(counts == list(range(1, 151)) for counts in seen.values())
            for i, revision in enumerate(acknowledged):
                found = await objects.get(f"{PODS}{i}")
                assert found is not None
                assert (found.obj["spec"], found.revision) == (150, revision)


async def bounded(watch: Subscription, count: int) -> AsyncIterator[Events]:
    """Batches of ``watch`` until ``count`` events have come."""
    while count > 0:
        events = await asyncio.wait_for(anext(watch), 20)
        count -= len(events)
        yield events


async def count_up(objects: ObjectStore, key: str, limit: int) -> int:
    """Raise the number at ``key`` by ones to ``limit``, whatever happens to the store; the last revision."""
    while True:
        try:
            found = await objects.get(key)
            if found is None:
                await objects.create(key, {"spec": 1})
            elif found.obj["spec"] == limit:
                return found.revision
            else:
                await objects.update(key, {"spec": found.obj["spec"] + 1}, expected_revision=found.revision)
        except (StoreUnavailable, KeyExists, Modified):
            await asyncio.sleep(0.01)


async def test_certificates_that_change_are_used_without_a_restart(tmp_path: Path) -> None:
    """A new authority certifies both ends; etcd restarts with it, and this process goes on."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    files, new = Certificates.issue(before), Certificates.issue(after)
    etcd = EtcdServer(programs[0], before, files)
    etcd.start()
    store = EtcdStore(etcd.config)
    try:
        await store.start()
        await store.transact([], [Put(key="/registry/a", value=b"1")])
        watch = store.watch("/registry/", start_revision=1)
        assert [event.key for event in (await anext(watch)).events] == ["/registry/a"]
        new.client.key.replace(files.client.key)
        assert await store.get("/registry/a"), "a key without its certificate has no effect yet"
        new.client.certificate.replace(files.client.certificate)
        new.server.key.replace(files.server.key)
        new.server.certificate.replace(files.server.certificate)
        new.ca_file.replace(files.ca_file)
        etcd.kill()
        etcd.start()

        async def answers() -> bool:
            try:
                found = await store.get("/registry/a")
            except StoreUnavailable:
                return False
            return found is not None and found.value == b"1"

        await eventually(answers, timeout_s=30)
        with pytest.raises(StoreUnavailable):
            await anext(watch)
        again = store.watch("/registry/", start_revision=1)
        assert [event.key for event in (await anext(again)).events] == ["/registry/a"]
        await again.aclose()
        assert await store.size_bytes() > 0
    finally:
        await store.close()
        etcd.kill()
