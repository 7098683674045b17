"""The machines of a local cluster as the network sees them: a bridge, and a network namespace for each node beyond the host.

Everything here is made so that it can be made again: a second call changes nothing. Traffic from the namespaces to the
outside is masqueraded, because nobody outside knows their addresses.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from pathlib import Path

from steersman.cluster.configuration import ClusterConfig, NodeConfig
from steersman.cluster.launching import in_network

NAMESPACES = Path("/run/netns")


class HostError(RuntimeError):
    """The machine refused something; the message has its words."""


def run(*argv: str, stdin: str = "") -> str:
    """Run a command and return what it printed. Raises ``HostError`` with its error output."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        raise HostError(f"{' '.join(argv)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def namespace_of(config: ClusterConfig, node: NodeConfig) -> str:
    """Name of the node's network namespace; empty for the host itself."""
    return f"{config.bridge}-{node.name}" if node.kind == "namespace" else ""


def namespace_path(config: ClusterConfig, node: NodeConfig) -> Path | None:
    name = namespace_of(config, node)
    return NAMESPACES / name if name else None


def enter(config: ClusterConfig, node: NodeConfig) -> tuple[str, ...]:
    """What to put before a command so that it runs on the node's network."""
    return in_network(str(namespace_path(config, node) or ""))


def ensure_network(config: ClusterConfig) -> None:
    """The bridge with the machine's own address on it, forwarding, and masquerading of the namespaces' traffic."""
    prefix = ipaddress.ip_network(config.machine_cidr).prefixlen
    if not link_exists(config.bridge):
        run("ip", "link", "add", config.bridge, "type", "bridge")
    run("ip", "address", "replace", f"{config.machine_address}/{prefix}", "dev", config.bridge)
    run("ip", "link", "set", config.bridge, "up")
    _write_sysctl("net/ipv4/ip_forward", "1")
    run("nft", "-f", "-", stdin=_masquerade(config))


def ensure_machine(config: ClusterConfig, node: NodeConfig) -> None:
    """The node's namespace, joined to the bridge by a veth pair, with its address and a default route."""
    name = namespace_of(config, node)
    if not name:
        return
    prefix = ipaddress.ip_network(config.machine_cidr).prefixlen
    if not (NAMESPACES / name).exists():
        run("ip", "netns", "add", name)
    inside = in_network(str(NAMESPACES / name))
    outer = _outer_link(config, node)
    if not link_exists(outer):
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", outer, "master", config.bridge, "up")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "address", "replace", f"{node.address}/{prefix}", "dev", "eth0")
    run(*inside, "ip", "link", "set", "eth0", "up")
    run(*inside, "ip", "route", "replace", "default", "via", config.machine_address)
    run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def remove_machine(config: ClusterConfig, node: NodeConfig) -> None:
    """The namespace and its link; nothing happens where they are gone."""
    name = namespace_of(config, node)
    if not name:
        return
    if link_exists(_outer_link(config, node)):
        run("ip", "link", "delete", _outer_link(config, node))
    if (NAMESPACES / name).exists():
        run("ip", "netns", "delete", name)


def remove_network(config: ClusterConfig) -> None:
    """The bridge and the masquerading; nothing happens where they are gone."""
    if link_exists(config.bridge):
        run("ip", "link", "delete", config.bridge)
    run("nft", "-f", "-", stdin=f"add table ip {_table(config)}\ndelete table ip {_table(config)}\n")


def _masquerade(config: ClusterConfig) -> str:
    table = _table(config)
    return f"""
add table ip {table}
delete table ip {table}
table ip {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {config.machine_cidr} ip daddr != {{ {config.machine_cidr}, {config.pod_cidr} }} masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{config.bridge}" accept
        oifname "{config.bridge}" accept
    }}
}}
"""


def _table(config: ClusterConfig) -> str:
    return f"{config.bridge}-machines"


def _outer_link(config: ClusterConfig, node: NodeConfig) -> str:
    """Interface names have 15 characters at most, so the address's last number stands for the node."""
    return f"{config.bridge[:10]}v{node.address.rsplit('.', 1)[-1]}"


def link_exists(name: str) -> bool:
    """Whether this network namespace has the interface; /sys shows the one in which it was mounted."""
    return any(found == name for _, found in socket.if_nameindex())


def _write_sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys", name)
    if path.read_text().strip() != value:
        try:
            path.write_text(value)
        except OSError as error:
            raise HostError(f"cannot set {name.replace('/', '.')} to {value}: {error.strerror}") from error
