"""``steersman scheduler``: kube-scheduler's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from steersman import KUBERNETES_VERSION
from steersman.cli.program import Delegation, Environment, Serving, run_component

if TYPE_CHECKING:
    from steersman.scheduler.component import Scheduler, SchedulerConfig

DEFAULT_PORT = 10259
DELEGATION_FLAGS = frozenset({
    "authentication_kubeconfig", "authentication_skip_lookup", "authentication_tolerate_lookup_failure",
    "authentication_token_webhook_cache_ttl", "client_ca_file", "authorization_kubeconfig",
    "authorization_always_allow_paths", "authorization_webhook_cache_authorized_ttl",
    "authorization_webhook_cache_unauthorized_ttl",
})  # fmt: skip


@click.group("scheduler", invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_file", default="", help="A KubeSchedulerConfiguration (v1); other flags add to it.")
@click.option("--kubeconfig", default="", help="How to reach the API server; without it, the cluster this runs in.")
@click.option("--master", default="", help="Address of the API server; overrides the kubeconfig's.")
@click.option(
    "--leader-elect", type=bool, default=None, help="Place pods only while holding the Lease. [default: true]"
)
@click.option("--leader-elect-lease-duration", default=None, help="How long others wait for a silent leader. [15s]")
@click.option("--leader-elect-renew-deadline", default=None, help="How long a leader tries to renew. [10s]")
@click.option("--leader-elect-retry-period", default=None, help="Time between tries. [2s]")
@click.option("--leader-elect-resource-lock", default=None, help="Only 'leases'.")
@click.option("--leader-elect-resource-name", default=None, help="Name of the Lease. [kube-scheduler]")
@click.option("--leader-elect-resource-namespace", default=None, help="Namespace of the Lease. [kube-system]")
@click.option("--pod-max-in-unschedulable-pods-duration", default="5m", show_default=True,
              help="After this long an unschedulable pod is tried again whatever happened.")  # fmt: skip
@click.option("--kube-api-qps", type=float, default=None, help="Requests a second; ignored with --config. [no limit]")
@click.option("--kube-api-burst", type=int, default=None, help="How many more at once; ignored with --config. [100]")
@click.option("--bind-address", default="0.0.0.0", show_default=True, help="Where health and metrics are served.")
@click.option("--secure-port", type=int, default=None,
              help=f"HTTPS port of health, metrics and /configz; 0: nowhere. [default: {DEFAULT_PORT} where --tls-cert-file, "
                   "--authentication-kubeconfig or --authorization-kubeconfig is given, else 0]")  # fmt: skip
@click.option("--tls-cert-file", default="", help="Certificate for --secure-port.")
@click.option("--tls-private-key-file", default="", help="Its private key.")
@click.option("--cert-dir", default="", help="Where a certificate that is made here stays. [default: nowhere]")
@click.option("--authentication-kubeconfig", default="", help="Who is asked whose a token is.")
@click.option("--authentication-skip-lookup", type=bool, default=False, show_default=True,
              help="Do not take the authority of client certificates from the API server.")  # fmt: skip
@click.option("--authentication-tolerate-lookup-failure", type=bool, default=True, show_default=True,
              help="Go on without client certificates where that fails.")  # fmt: skip
@click.option("--authentication-token-webhook-cache-ttl", default="10s", show_default=True,
              help="How long the answer about a token counts.")  # fmt: skip
@click.option("--client-ca-file", default="", help="The authority of client certificates.")
@click.option("--authorization-kubeconfig", default="",
              help="Who is asked whether a caller may; without it only the paths below can be read.")  # fmt: skip
@click.option("--authorization-always-allow-paths", default="/healthz,/readyz,/livez", show_default=True,
              help="Paths that are open to everybody.")  # fmt: skip
@click.option("--authorization-webhook-cache-authorized-ttl", default="10s", show_default=True,
              help="How long a permission counts.")  # fmt: skip
@click.option("--authorization-webhook-cache-unauthorized-ttl", default="10s", show_default=True,
              help="How long a refusal counts.")  # fmt: skip
@click.option("--profiling", type=bool, default=False, help="Only false.")
@click.option("--contention-profiling", type=bool, default=False, help="Only false.")
@click.option(
    "--write-config-to", default="", help="Write the configuration with all its defaults to this file and exit."
)
@click.version_option(KUBERNETES_VERSION, message="Kubernetes %(version)s")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice among equally good nodes.")
@click.option("--plugin-file", "plugin_files", multiple=True,
              help="A Python file with plugins that profiles may name; can be given several times.")  # fmt: skip
@click.option("-v", "--v", "verbosity", type=int, default=0, help="Log level.")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    kubeconfig: str,
    master: str,
    bind_address: str,
    secure_port: int | None,
    tls_cert_file: str,
    tls_private_key_file: str,
    cert_dir: str,
    profiling: bool,
    contention_profiling: bool,
    write_config_to: str,
    verbosity: int,
    **flags: Any,
) -> None:
    """Give pods their nodes."""
    if context.invoked_subcommand is not None:
        return
    if bool(tls_cert_file) != bool(tls_private_key_file):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file belong together")
    if profiling or contention_profiling:
        raise click.UsageError("--profiling, --contention-profiling: this scheduler serves no profiles")
    delegation = read_delegation({name: flags.pop(name) for name in [*flags] if name in DELEGATION_FLAGS})
    config, configured_kubeconfig = read_flags(**flags)
    if write_config_to:
        write_configuration(config, write_config_to)
        return

    async def build(environment: Environment) -> Scheduler:
        from steersman.scheduler.component import Scheduler

        client = environment.client(kubeconfig or configured_kubeconfig, user_agent="kube-scheduler", master=master)
        return Scheduler(
            client=client, clock=environment.clock, config=config, rng=environment.rng, registry=environment.registry
        )

    is_wanted = tls_cert_file or delegation.authentication_kubeconfig or delegation.authorization_kubeconfig
    port = secure_port if secure_port is not None else (DEFAULT_PORT if is_wanted else 0)
    serving = Serving(
        bind_address=bind_address,
        port=port,
        tls_cert_file=tls_cert_file,
        tls_private_key_file=tls_private_key_file,
        delegation=delegation,
        cert_dir=cert_dir,
    )
    run_component("scheduler", build, serving=serving, verbosity=verbosity)


def read_delegation(flags: dict[str, Any]) -> Delegation:
    """``--authentication-*`` and ``--authorization-*``. Raises ``click.UsageError``."""
    from steersman.scheduler.plugin_args import ArgsError, duration_s

    def seconds(name: str) -> float:
        try:
            return duration_s(flags[name], "--" + name.replace("_", "-"))
        except ArgsError as error:
            raise click.UsageError(str(error)) from error

    return Delegation(
        authentication_kubeconfig=flags["authentication_kubeconfig"],
        authorization_kubeconfig=flags["authorization_kubeconfig"],
        always_allow_paths=tuple(filter(None, flags["authorization_always_allow_paths"].split(","))),
        client_ca_file=flags["client_ca_file"],
        skips_lookup=flags["authentication_skip_lookup"],
        tolerates_lookup_failure=flags["authentication_tolerate_lookup_failure"],
        token_ttl_s=seconds("authentication_token_webhook_cache_ttl"),
        authorized_ttl_s=seconds("authorization_webhook_cache_authorized_ttl"),
        unauthorized_ttl_s=seconds("authorization_webhook_cache_unauthorized_ttl"),
    )


def write_configuration(config: SchedulerConfig, path: str) -> None:
    """The configuration with all its defaults, as YAML."""
    from pathlib import Path

    import yaml

    Path(path).write_text(yaml.safe_dump(dict(config.configuration.document), sort_keys=False), encoding="utf-8")


def read_flags(
    *,
    config_file: str,
    seed: int,
    plugin_files: tuple[str, ...],
    pod_max_in_unschedulable_pods_duration: str,
    kube_api_qps: float | None = None,
    kube_api_burst: int | None = None,
    **leader_flags: Any,
) -> tuple[SchedulerConfig, str]:
    """The component's configuration and the kubeconfig that the file names. Raises ``click.UsageError``."""
    import os
    import socket

    from steersman.scheduler.component import SchedulerConfig, load_configuration
    from steersman.scheduler.configuration import ConfigurationError
    from steersman.scheduler.plugin_args import ArgsError, duration_s

    try:
        connection = {"qps": kube_api_qps, "burst": kube_api_burst}
        configuration = load_configuration(
            config_file,
            leader_election(leader_flags),
            plugin_files,
            client_connection={name: value for name, value in connection.items() if value is not None},
        )
        patience_s = duration_s(pod_max_in_unschedulable_pods_duration, "--pod-max-in-unschedulable-pods-duration")
    except (ConfigurationError, ArgsError) as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.UsageError(f"--config: {error}") from error
    config = SchedulerConfig(
        configuration=configuration,
        identity=f"{socket.gethostname()}_{os.getpid()}",
        host=socket.gethostname(),
        seed=seed,
        max_unschedulable_s=patience_s,
    )
    return config, configuration.client_connection.kubeconfig


def leader_election(flags: dict[str, Any]) -> dict[str, Any]:
    """``--leader-elect-*`` flags that were given, as fields of ``leaderElection``."""
    names = {
        "leader_elect": "leaderElect",
        "leader_elect_lease_duration": "leaseDuration",
        "leader_elect_renew_deadline": "renewDeadline",
        "leader_elect_retry_period": "retryPeriod",
        "leader_elect_resource_lock": "resourceLock",
        "leader_elect_resource_name": "resourceName",
        "leader_elect_resource_namespace": "resourceNamespace",
    }
    return {names[flag]: value for flag, value in flags.items() if value is not None}


@command.command("explain")
@click.argument("pod")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option(
    "--kubeconfig",
    default="",
    envvar="KUBECONFIG",
    help="How to reach the API server. [default: $KUBECONFIG, then ~/.kube/config]",
)
@click.option(
    "--config", "config_file", default="", help="The KubeSchedulerConfiguration that the scheduler runs with."
)
@click.option("--plugin-file", "plugin_files", multiple=True, help="The plugins that it runs with.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many nodes to compare.")
def explain_command(
    *, pod: str, namespace: str, kubeconfig: str, config_file: str, plugin_files: tuple[str, ...], top: int
) -> None:
    """Say which plugin rejects how many nodes for POD, and how the best nodes score.

    It reads the cluster through the API and decides anew, so it works beside any scheduler, upstream's too.
    """
    import asyncio

    click.echo(asyncio.run(_explain(pod, namespace, kubeconfig, config_file, plugin_files, top)))


async def _explain(
    pod: str, namespace: str, kubeconfig: str, config_file: str, plugin_files: tuple[str, ...], top: int
) -> str:
    from pathlib import Path

    from steersman.aio.clock import SystemClock
    from steersman.client import kubeconfig as kubeconfigs
    from steersman.client.api import Client
    from steersman.client.http import HTTPTransport
    from steersman.client.transport import Unreachable
    from steersman.meta.errors import APIError
    from steersman.scheduler.component import load_configuration
    from steersman.scheduler.configuration import ConfigurationError
    from steersman.scheduler.core import SchedulerCore
    from steersman.scheduler.explanation import as_text, explain
    from steersman.scheduler.plugin_calls import PluginFailed
    from steersman.scheduler.snapshot import read_cluster

    try:
        configuration = load_configuration(config_file, plugin_files=plugin_files)
        transport = HTTPTransport(
            kubeconfigs.load(kubeconfig or str(Path.home() / ".kube/config")), clock=SystemClock()
        )
    except (ConfigurationError, kubeconfigs.KubeConfigError, OSError) as error:
        raise click.UsageError(str(error)) from error
    client = Client(transport)
    try:
        cluster, pods = await read_cluster(client)
    except (APIError, Unreachable) as error:
        raise click.ClickException(str(error)) from error
    finally:
        await client.close()
    found = pods.get(f"{namespace}/{pod}")
    if found is None:
        raise click.ClickException(f'pods "{pod}" not found in namespace "{namespace}", or it has ended')
    core = SchedulerCore(configuration.frameworks, cluster)
    if core.framework_of(found) is None:
        raise click.ClickException(f"no profile is named {found.scheduler_name}; name its configuration with --config")
    try:
        return as_text(explain(core, found, top=top))
    except PluginFailed as failure:
        raise click.ClickException(str(failure)) from failure
