"""The kernel's tables: updates amount to a full sync, and connections really go where the rules say.

Each test has network namespaces of its own, so nothing of this machine's network changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from steersman.proxy.backends.nftables import TABLE, NftablesBackend, slots
from steersman.proxy.rules import Endpoint, Frontend, Masquerade, Refusal, Rules, Target
from tests.proxy.builders import at, to

real = pytest.mark.real
NODE, CLIENT, OUTSIDE = "10.211.1.1", "10.211.1.2", "10.211.3.2"
PODS = ("10.211.2.2", "10.211.2.3")
SERVICE = "10.212.0.1"


def test_a_slot_belongs_to_its_endpoint_whatever_the_order() -> None:
    endpoints = to("10.0.0.1", "10.0.0.2", "10.0.0.3")
    given = dict(zip(endpoints, slots(endpoints), strict=True))
    assert dict(zip(reversed(endpoints), slots([*reversed(endpoints)]), strict=True)) == given
    assert len({*given.values()}) == 3
    assert 0 not in given.values()


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """``node``, ``client`` and ``pods``: three machines, the node routes between the other two."""
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.fail("tests of tier `real` need root and nft")
    names = [f"st-{os.getpid()}-{part}" for part in ("node", "client", "pods")]
    with ExitStack() as stack:
        for name in names:
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names


def inside(namespace: str, *argv: str) -> tuple[str, ...]:
    return ("nsenter", f"--net=/run/netns/{namespace}", "--", *argv)


def elements(namespace: str) -> dict[tuple[str, str], list[str]]:
    """What every map and set of both tables holds."""
    found: dict[tuple[str, str], list[str]] = {}
    for family in ("ip", "ip6"):
        listed = json.loads(run(*inside(namespace, "nft", "-j", "list", "table", family, TABLE)))
        for entry in listed["nftables"]:
            for kind in ("map", "set"):
                if kind in entry:
                    held = entry[kind].get("elem", [])
                    found[family, entry[kind]["name"]] = sorted(json.dumps(item, sort_keys=True) for item in held)
    return found


def random_target(rng: random.Random, frontend: Frontend) -> Target:
    prefix = "10.1.0." if frontend.version == 4 else "fd01::"
    addresses = rng.sample(range(1, 9), rng.randrange(5))
    masquerades: tuple[Masquerade, ...] = ("never", "outside", "always")
    refusals: tuple[Refusal, ...] = ("reject", "drop")
    ranges: tuple[str, ...] = ()
    if frontend.address and rng.random() < 0.3:
        choices = ("10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0") if frontend.version == 4 else ("2001:db8::/32", "::/0")
        ranges = (rng.choice(choices),)
    return Target(
        endpoints=tuple(sorted(Endpoint(f"{prefix}{last}", rng.choice((80, 8080))) for last in addresses)),
        masquerade=rng.choice(masquerades),
        affinity_s=rng.choice((0, 0, 10, 10800)),
        refusal=rng.choice(refusals),
        source_ranges=ranges,
    )


@real
@pytest.mark.parametrize("seed", range(3))
async def test_any_sequence_of_updates_amounts_to_a_sync_from_nothing(namespaces: list[str], seed: int) -> None:
    rng = random.Random(seed)
    node, other, _ = namespaces
    frontends = [at("10.96.0.1"), at("10.96.0.2", protocol="udp"), at("10.96.0.2", protocol="sctp"), at("", 30080)]
    frontends += [at("fd00::1", version=6), at("", 30081, "udp", 6), at("", 30080, version=6)]
    backend, rules = NftablesBackend(cluster_ranges=["10.1.0.0/16", "fd01::/64"], enter=inside(node)), Rules()
    await backend.sync(rules)
    for _ in range(25):
        chosen = rng.sample(frontends, rng.randrange(1, 5))
        changes = {each: None if rng.random() < 0.25 else random_target(rng, each) for each in chosen}
        await backend.update(changes)
        for frontend, target in changes.items():
            rules.pop(frontend, None)
            if target is not None:
                rules[frontend] = target
    await NftablesBackend(enter=inside(other)).sync(rules)
    assert elements(node) == elements(other)
    await backend.update(dict.fromkeys(rules))
    assert not any(elements(node).values())


@real
async def test_remove_leaves_nothing_and_may_be_repeated(namespaces: list[str]) -> None:
    backend = NftablesBackend(enter=inside(namespaces[0]))
    await backend.sync({at(): Target(endpoints=to("10.1.0.1"))})
    await backend.remove()
    await backend.remove()
    assert run(*inside(namespaces[0], "nft", "list", "ruleset")) == ""


SERVER = textwrap.dedent(
    """
    import socket, sys, threading
    def serve(address):
        listener = socket.create_server((address, 8080))
        ready.release()
        while True:
            peer, source = listener.accept()
            peer.sendall(f"{address} {source[0]}".encode())
            peer.close()
    ready = threading.Semaphore(0)
    for address in sys.argv[1:]:
        threading.Thread(target=serve, args=(address,), daemon=True).start()
    for _ in sys.argv[1:]:
        ready.acquire()
    print("ready", flush=True)
    sys.stdin.read()
    """
)
CLIENT_PROGRAM = textwrap.dedent(
    """
    import socket, sys
    address, port, source, count = sys.argv[1:]
    for _ in range(int(count)):
        try:
            with socket.create_connection((address, int(port)), 1.0, (source, 0) if source else None) as peer:
                print(peer.recv(100).decode())
        except TimeoutError:
            print("timeout")
        except OSError as error:
            print(type(error).__name__)
    """
)


def connect(namespace: str, address: str, port: int, *, source: str = "", count: int = 1) -> list[str]:
    """What each of ``count`` connections got: ``<endpoint> <client as it is seen>`` or the failure."""
    python = shutil.which("python3") or "python3"
    return run(*inside(namespace, python, "-c", CLIENT_PROGRAM, address, str(port), source, str(count))).splitlines()


@pytest.fixture
def machines(namespaces: list[str]) -> Iterator[list[str]]:
    """The three machines wired up, with a server on each of the pods' addresses."""
    node, client, pods = namespaces
    for name, near, far, addresses in (
        (client, f"{NODE}/24", "c0", (f"{CLIENT}/24", "10.211.1.3/24")),
        (pods, "10.211.2.1/24", "p0", tuple(f"{address}/24" for address in PODS)),
    ):
        run("ip", "-n", node, "link", "add", far, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", node, "address", "add", near, "dev", far)
        run("ip", "-n", node, "link", "set", far, "up")
        for address in addresses:
            run("ip", "-n", name, "address", "add", address, "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", near.split("/")[0])
    run("ip", "-n", client, "address", "add", f"{OUTSIDE}/32", "dev", "lo")
    run("ip", "-n", node, "route", "add", f"{OUTSIDE}/32", "via", CLIENT)
    run("ip", "-n", node, "route", "add", "default", "via", PODS[0])
    run(*inside(node, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    python = shutil.which("python3") or "python3"
    server = subprocess.Popen(
        inside(pods, python, "-c", SERVER, *PODS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        yield namespaces
    finally:
        server.communicate()


@real
async def test_connections_reach_every_endpoint_from_outside_and_from_the_node(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(cluster_ranges=["10.211.1.0/24"], enter=inside(node))
    await backend.sync({at(SERVICE): Target(endpoints=to(*PODS))})
    for namespace in (client, node):
        answers = await asyncio.to_thread(connect, namespace, SERVICE, 80, count=60)
        spread = Counter(answer.split()[0] for answer in answers)
        assert {*spread} == {*PODS}
        assert min(spread.values()) >= 10


@real
async def test_only_clients_outside_of_the_pod_network_are_masqueraded(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(cluster_ranges=["10.211.1.0/24"], enter=inside(node))
    await backend.sync({at(SERVICE): Target(endpoints=to(PODS[0]))})
    assert connect(client, SERVICE, 80) == [f"{PODS[0]} {CLIENT}"]
    assert connect(client, SERVICE, 80, source=OUTSIDE) == [f"{PODS[0]} 10.211.2.1"]
    await backend.update({at(SERVICE): Target(endpoints=to(PODS[0]), masquerade="always")})
    assert connect(client, SERVICE, 80) == [f"{PODS[0]} 10.211.2.1"]
    await backend.update({at(SERVICE): Target(endpoints=to(PODS[0]), masquerade="never")})
    assert connect(client, SERVICE, 80, source=OUTSIDE) == [f"{PODS[0]} {OUTSIDE}"]


@real
async def test_a_client_with_affinity_stays_until_its_endpoint_goes(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(enter=inside(node))
    await backend.sync({at(SERVICE): Target(endpoints=to(*PODS), affinity_s=100)})
    first = {*connect(client, SERVICE, 80, count=20)}
    assert len(first) == 1
    kept = next(iter(first)).split()[0]
    (other,) = {*PODS} - {kept}
    await backend.update({at(SERVICE): Target(endpoints=to(other), affinity_s=100)})
    assert {answer.split()[0] for answer in connect(client, SERVICE, 80, count=5)} == {other}
    await backend.update({at(SERVICE): Target(endpoints=to(*PODS), affinity_s=100)})
    assert {answer.split()[0] for answer in connect(client, SERVICE, 80, count=20)} == {other}


@real
async def test_without_endpoints_connections_are_refused_or_dropped(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(enter=inside(node))
    await backend.sync({at(SERVICE): Target(), at("", 30080): Target()})
    assert connect(client, SERVICE, 80) == ["ConnectionRefusedError"]
    assert connect(node, SERVICE, 80) != ["timeout"]
    assert connect(client, NODE, 30080) == ["ConnectionRefusedError"]
    await backend.update({at(SERVICE): Target(refusal="drop")})
    assert connect(client, SERVICE, 80) == ["timeout"]
    await backend.update({at(SERVICE): Target(endpoints=to(PODS[0]))})
    assert connect(client, SERVICE, 80)[0].startswith(PODS[0])


@real
async def test_node_ports_answer_on_every_address_of_the_node_but_loopback(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(enter=inside(node))
    await backend.sync({at("", 30080): Target(endpoints=to(PODS[0]), masquerade="always")})
    for address in (NODE, "10.211.2.1"):
        assert connect(client, address, 30080) == [f"{PODS[0]} 10.211.2.1"]
        assert connect(node, address, 30080)[0].startswith(PODS[0])
    assert connect(node, "127.0.0.1", 30080) == ["ConnectionRefusedError"]
    assert connect(client, PODS[0], 30080) == ["ConnectionRefusedError"]


@real
async def test_a_pod_reaches_itself_through_its_service(machines: list[str]) -> None:
    node, _, pods = machines
    backend = NftablesBackend(cluster_ranges=["10.211.0.0/16"], enter=inside(node))
    await backend.sync({at(SERVICE): Target(endpoints=to(PODS[0]))})
    assert connect(pods, SERVICE, 80, source=PODS[0]) == [f"{PODS[0]} 10.211.2.1"]


@real
async def test_source_ranges_admit_their_clients_only(machines: list[str]) -> None:
    node, client, _ = machines
    backend = NftablesBackend(enter=inside(node))
    target = Target(endpoints=to(PODS[0]), source_ranges=("10.211.1.0/24",))
    await backend.sync({at(SERVICE): target})
    assert connect(client, SERVICE, 80)[0].startswith(PODS[0])
    assert connect(client, SERVICE, 80, source=OUTSIDE) == ["timeout"]
    await backend.update({at(SERVICE): Target(endpoints=to(PODS[0]))})
    assert connect(client, SERVICE, 80, source=OUTSIDE)[0].startswith(PODS[0])
