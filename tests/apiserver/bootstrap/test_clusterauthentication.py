"""What extension API servers are told about clients."""

from __future__ import annotations

import json
import random
from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.apiserver.bootstrap.clusterauthentication import NAME, NAMESPACE, combine
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, RequestHeaders
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster.pki import Authority, Pair
from steersman.meta.errors import NotFound
from steersman.meta.resources import CONFIGMAPS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually


def _authority(folder: Path, name: str, clock: FakeClock) -> bytes:
    folder.mkdir(exist_ok=True)
    return Authority(Pair.of(folder, name), common_name=name, clock=clock).pair.certificate.read_bytes()


async def test_flags_become_a_config_map_that_comes_back(tmp_path: Path) -> None:
    clock = FakeClock()
    config = APIServerConfig(
        client_ca=_authority(tmp_path, "ca", clock),
        request_header_client_ca=_authority(tmp_path, "front-proxy-ca", clock),
        request_header=RequestHeaders(allowed_names=("front-proxy-client",), group_headers=("X-Remote-Group", "X-G")),
    )
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    data = (await client.get(CONFIGMAPS, NAME, namespace=NAMESPACE))["data"]
    assert data["client-ca-file"].encode() == config.client_ca
    assert data["requestheader-client-ca-file"].encode() == config.request_header_client_ca
    assert {name: json.loads(value) for name, value in data.items() if not name.endswith("ca-file")} == {
        "requestheader-allowed-names": ["front-proxy-client"],
        "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
        "requestheader-group-headers": ["X-Remote-Group", "X-G"],
        "requestheader-uid-headers": ["X-Remote-Uid"],
        "requestheader-username-headers": ["X-Remote-User"],
    }
    await client.delete(CONFIGMAPS, NAME, namespace=NAMESPACE)

    async def is_back() -> bool:
        try:
            return bool((await client.get(CONFIGMAPS, NAME, namespace=NAMESPACE))["data"] == data)
        except NotFound:
            return False

    await eventually(is_back, clock=clock)
    await server.close()


def test_what_several_servers_say_is_combined(tmp_path: Path) -> None:
    clock = FakeClock()
    old, new = _authority(tmp_path, "old", clock), _authority(tmp_path, "new", clock)
    first = {"client-ca-file": old.decode(), "requestheader-allowed-names": '["a"]', "somebody": "else's"}
    second = {"client-ca-file": new.decode(), "requestheader-allowed-names": '["b","a"]'}
    combined = combine(first, second, clock.now())
    assert combined["client-ca-file"].encode() == old + new
    assert combined["requestheader-allowed-names"] == '["a","b"]'
    assert combined["somebody"] == "else's"
    assert combine(combined, second, clock.now()) == combined
    assert (
        combine({"requestheader-allowed-names": "nonsense"}, second, clock.now())["requestheader-allowed-names"]
        == '["b","a"]'
    )


async def test_authorities_that_have_ended_are_left_out(tmp_path: Path) -> None:
    clock = FakeClock()
    old = _authority(tmp_path, "old", clock)
    await clock.advance(20 * 365 * 86_400)
    new = _authority(tmp_path, "new", clock)
    combined = combine({"client-ca-file": old.decode()}, {"client-ca-file": new.decode()}, clock.now())
    assert combined["client-ca-file"].encode() == new
