"""``steersman kubelet``: a node's agent, with upstream's flag names."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from steersman.cli import kubelet_flags
from steersman.cli.program import Environment, run_component

if TYPE_CHECKING:
    from steersman.kubelet.agent import Agent
    from steersman.kubelet.configuration import KubeletConfig
    from steersman.kubelet.configuration_file import Document


class Flags(Struct, frozen=True, kw_only=True):
    """What is no part of KubeletConfiguration."""

    kubeconfig: str
    bootstrap_kubeconfig: str
    cert_dir: Path | None
    config: Path | None
    config_dir: Path | None
    settings: Mapping[str, Any]
    """Arguments of ``KubeletConfig``."""
    given: Mapping[str, str]
    """All that the command line says, for ``/flagz``."""


def _list(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(entry for entry in value.split(",") if entry)


def _labels(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, str] | None:
    from steersman.kubelet.node_labels import check_labels

    if value is None:
        return None
    try:
        labels = kubelet_flags.pairs(value)
        check_labels(labels)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return labels


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    from steersman.meta.durations import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


FILE = click.Path(path_type=Path)
_RENAMED = {"hostname_override": "node_name", "node_ip": "node_ips"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kubeconfig", default="", help="How to reach the API server.")
@click.option(
    "--bootstrap-kubeconfig", default="", help="To ask for a client certificate with, while there is no --kubeconfig."
)
@click.option("--cert-dir", type=FILE, help="Where certificates are kept; default <root-dir>/pki.")
@click.option("--config", type=FILE, help="A KubeletConfiguration file (v1beta1); flags win over it.")
@click.option("--config-dir", type=FILE, help="Folder of *.conf files that are merged over --config.")
@click.option("--hostname-override", help="The node's name; default: this machine's host name.")
@click.option("--node-ip", callback=_list, help="The node's addresses, the primary first.")
@click.option("--node-labels", callback=_labels, help="Labels to register with: key=value,…")
@click.option("--root-dir", type=FILE, help="Where pods' volumes are; default /var/lib/kubelet.")
@click.option(
    "--cloud-provider",
    type=click.Choice(["", "external"]),
    help="external: a cloud controller manager initializes the node.",
)
@click.option(
    "--image-credential-provider-config",
    type=FILE,
    help="Which plugins give credentials for images: a file or a folder.",
)
@click.option("--image-credential-provider-bin-dir", type=FILE, help="Where these plugins are.")
@click.option(
    "--minimum-container-ttl-duration", default="0s", callback=_duration, help="How old a dead container gets at least."
)
@click.option("--maximum-dead-containers-per-container", type=int, default=1, help="Dead ones kept of each container.")
@click.option("--maximum-dead-containers", type=int, default=-1, help="Dead ones kept in all; negative: any number.")
@click.option(
    "--experimental-allocatable-ignore-eviction",
    type=bool,
    default=False,
    help="Leave eviction thresholds out of allocatable.",
)
@click.option("--v", "verbosity", type=int, help="Log level.")
def command(verbosity: int | None, **given: Any) -> None:
    """Run a node's agent: the pods that are bound to the node, on a container runtime."""
    said = {name.replace("_", "-"): str(value) for name, value in given.items() if value not in (None, (), "")}
    configuration = {name: given.pop(name) for name in _CONFIGURATION if name in given}
    flags = _flags({**given, "given": said})
    document = _document(flags, configuration)
    config = _config(flags, document)
    level = verbosity if verbosity is not None else int(document["logging"].get("verbosity") or 0)

    async def build(environment: Environment) -> Agent:
        from steersman.cli.kubelet_parts import build_agent

        return await build_agent(environment, flags, document, config)

    run_component("kubelet", build, verbosity=level)


_CONFIGURATION = [name.replace("-", "_") for name in kubelet_flags.FLAGS]
kubelet_flags.options(command)


def _flags(given: dict[str, Any]) -> Flags:
    from steersman.kubelet.container_gc import ContainerGCPolicy

    own = {name: given.pop(name) for name in Flags.__struct_fields__ if name in given}
    policy = ContainerGCPolicy(
        min_age_s=given.pop("minimum_container_ttl_duration"),
        max_per_container=given.pop("maximum_dead_containers_per_container"),
        max_total=given.pop("maximum_dead_containers"),
    )
    if policy.min_age_s < 0:
        raise click.UsageError(f"invalid minimum garbage collection age: {policy.min_age_s:g}s")
    given["allocatable_ignores_eviction"] = given.pop("experimental_allocatable_ignore_eviction")
    settings = {_RENAMED.get(name, name): value for name, value in given.items() if value is not None}
    return Flags(**own, settings={**settings, "container_gc": policy})


def _document(flags: Flags, configuration: Mapping[str, Any]) -> Document:
    from steersman.kubelet.configuration import ConfigurationError
    from steersman.kubelet.configuration_file import load_configurations
    from steersman.kubelet.configuration_settings import completed

    from_flags = kubelet_flags.document_of(configuration)
    try:
        from_files = load_configurations(flags.config, flags.config_dir)
    except ConfigurationError as error:
        raise click.UsageError(f"--config: {error}") from error
    try:
        return completed(kubelet_flags.over(from_files, from_flags))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def _config(flags: Flags, document: Document) -> KubeletConfig:
    from steersman.kubelet.configuration import ConfigurationError, KubeletConfig
    from steersman.kubelet.configuration_settings import settings_of

    try:
        return KubeletConfig(**{"node_name": socket.gethostname().lower(), **settings_of(document), **flags.settings})
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
