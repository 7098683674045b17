"""What a cluster on this machine is made of: one value, kept as ``cluster.json``, from which everything else follows."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

NodeKind = Literal["host", "namespace"]
"""``host``: the machine itself. ``namespace``: a machine of its own as far as the network goes (a network namespace)."""


class NodeConfig(Struct, frozen=True, kw_only=True):
    """One real node of the cluster."""

    name: str
    kind: NodeKind
    address: str
    """Its InternalIP, on the bridge that joins the nodes of this machine."""


class ClusterConfig(Struct, frozen=True, kw_only=True):
    """A local cluster. Addresses are texts so that the file reads as what it says."""

    nodes: tuple[NodeConfig, ...] = ()
    simulated_nodes: int = 0
    api_port: int = 6443
    advertise_address: str = "10.89.0.1"
    service_cidr: str = "10.96.0.0/16"
    pod_cidr: str = "10.244.0.0/16"
    machine_cidr: str = "10.89.0.0/24"
    """The network between the nodes of this machine; its first address is the machine itself."""
    bridge: str = "steersman0"
    dns_domain: str = "cluster.local"
    context: str = "steersman"
    """Name of the context in the user's kubeconfig."""
    verbosity: int = 0

    @property
    def service_address(self) -> str:
        """ClusterIP of the ``kubernetes`` Service: the first of the range."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_address(self) -> str:
        """ClusterIP of the ``kube-dns`` Service: the tenth of the range, as installers have it."""
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def machine_address(self) -> str:
        return str(ipaddress.ip_network(self.machine_cidr)[1])

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def server_for_nodes(self) -> str:
        """Where nodes reach the API server: a node's own namespace has another loopback."""
        return f"https://{self.advertise_address}:{self.api_port}"

    def node(self, name: str) -> NodeConfig | None:
        return next((node for node in self.nodes if node.name == name), None)

    def with_real_nodes(self, count: int, hostname: str) -> ClusterConfig:
        """With at least ``count`` real nodes: one is the machine itself, several have a namespace each.

        Nodes that exist stay as they are; names and addresses of removed ones are used again.
        """
        nodes = list(self.nodes)
        if not nodes and count == 1:
            nodes.append(NodeConfig(name=hostname, kind="host", address=self.machine_address))
        number = 1
        while len(nodes) < count:
            name = f"node-{number}"
            if all(node.name != name for node in nodes):
                address = str(ipaddress.ip_network(self.machine_cidr)[1 + number])
                nodes.append(NodeConfig(name=name, kind="namespace", address=address))
            number += 1
        return replace(self, nodes=tuple(nodes))

    def without_node(self, name: str) -> ClusterConfig:
        """Raises ``KeyError`` where there is no such node."""
        if self.node(name) is None:
            raise KeyError(name)
        return replace(self, nodes=tuple(node for node in self.nodes if node.name != name))


class Layout(Struct, frozen=True):
    """Where a cluster keeps what: durable things below ``data``, sockets and pid files below ``run``."""

    data: Path
    run: Path

    @classmethod
    def of(cls, data: Path, *, is_root: bool) -> Layout:
        """``/run`` for the system's own cluster; sockets need short paths, so other roots get a digest of theirs."""
        if data == Path("/var/lib/steersman"):
            return cls(data, Path("/run/steersman"))
        if is_root:
            import hashlib

            return cls(data, Path("/run") / f"steersman-{hashlib.sha256(str(data).encode()).hexdigest()[:8]}")
        return cls(data, data / "run")

    @property
    def config(self) -> Path:
        return self.data / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def store(self) -> Path:
        return self.data / "store.db"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def state(self) -> Path:
        """What the supervisor says of its programs."""
        return self.run / "state.json"

    @property
    def supervisor_pid(self) -> Path:
        return self.run / "supervisor.pid"

    def kubeconfig(self, identity: str) -> Path:
        return self.data / "kubeconfig" / f"{identity}.conf"

    def node(self, name: str) -> Path:
        return self.data / "nodes" / name

    def node_run(self, name: str) -> Path:
        return self.run / name

    def containerd_socket(self, name: str) -> Path:
        return self.node_run(name) / "containerd.sock"


def load(layout: Layout) -> ClusterConfig | None:
    """The cluster that was configured here, or None. Raises ``msgspec.ValidationError`` for a damaged file."""
    try:
        return msgspec.json.decode(layout.config.read_bytes(), type=ClusterConfig)
    except FileNotFoundError:
        return None


def save(layout: Layout, config: ClusterConfig) -> None:
    """Replace the file in one step: a reader sees the old cluster or the new one."""
    layout.data.mkdir(parents=True, exist_ok=True)
    fresh = layout.config.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    fresh.replace(layout.config)
