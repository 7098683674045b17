"""Who the kubelet is to the API server: a kubeconfig, one that is made by bootstrapping, or a certificate that rotates."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from steersman.cli.program import Environment
from steersman.client.api import Client
from steersman.client.http import HTTPTransport
from steersman.client.kubeconfig import KubeConfig, KubeConfigError, in_cluster, load
from steersman.client.transport import Unreachable
from steersman.kubelet.certificates import bootstrap
from steersman.kubelet.certificates.metrics import ClientCertificateMetrics
from steersman.kubelet.certificates.pair import CertificatePair, PairError, PairStore, pair_of
from steersman.kubelet.certificates.rotating_transport import RotatingTransport
from steersman.kubelet.certificates.rotation import FIRST_RETRY_S, LONGEST_RETRY_S, CertificateManager
from steersman.kubelet.certificates.signing_requests import CLIENT_SIGNER, RequestFailed, Template
from steersman.meta.errors import APIError

USER_AGENT = "kubelet/v1.36.0 (steersman)"
log = logging.getLogger(__name__)


class Identity(Struct, frozen=True, kw_only=True):
    client: Client
    manager: CertificateManager | None
    """To be run; None where the certificate does not rotate."""


async def build_identity(
    environment: Environment,
    *,
    kubeconfig: str,
    bootstrap_kubeconfig: str,
    cert_dir: Path,
    node_name: str,
    rotate: bool,
) -> Identity:
    """Bootstraps first where that is needed, however long it takes. Raises ``click.UsageError``."""
    store = PairStore(cert_dir, "kubelet-client")
    try:
        if bootstrap_kubeconfig and not bootstrap.is_usable(Path(kubeconfig), now_s=environment.clock.now()):
            await _bootstrap(environment, kubeconfig, load(bootstrap_kubeconfig), store, node_name)
        given = load(kubeconfig) if kubeconfig else in_cluster(os.environ)
    except KubeConfigError as error:
        raise click.UsageError(str(error)) from error
    config = given
    if rotate:
        config = replace(given, token="", token_file="")
        stored = _stored(store) or _inside(given)
        if stored is not None:
            config = _with_pair(config, stored)
    transport = RotatingTransport(HTTPTransport(config, clock=environment.clock))
    client = Client(transport, user_agent=USER_AGENT)
    environment.clients.append(client)
    if not rotate:
        return Identity(client=client, manager=None)

    def adopted(pair: CertificatePair) -> None:
        transport.replace(HTTPTransport(_with_pair(config, pair), clock=environment.clock))

    metrics = ClientCertificateMetrics(environment.registry)
    manager = CertificateManager(
        signer=CLIENT_SIGNER,
        template=lambda: Template(node_name=node_name),
        store=store,
        client=lambda: client,
        clock=environment.clock,
        rng=environment.rng,
        adopted=adopted,
        failed=metrics.errors.inc,
    )
    manager.current = _stored(store) or _inside(given)
    metrics.follow(manager.ttl_s)
    return Identity(client=client, manager=manager)


async def _bootstrap(
    environment: Environment, kubeconfig: str, config: KubeConfig, store: PairStore, node_name: str
) -> None:
    """Until a certificate was issued and the kubeconfig for it is written."""
    if not kubeconfig:
        raise click.UsageError("--bootstrap-kubeconfig needs --kubeconfig: the file to be made")
    client = Client(HTTPTransport(config, clock=environment.clock), user_agent=USER_AGENT)
    template = Template(node_name=node_name)
    manager = CertificateManager(
        signer=CLIENT_SIGNER,
        template=lambda: template,
        store=store,
        client=lambda: client,
        clock=environment.clock,
        rng=environment.rng,
        adopted=lambda pair: None,
    )
    delay_s = FIRST_RETRY_S
    try:
        while True:
            try:
                await manager.rotate(template)
                break
            except (RequestFailed, APIError, Unreachable) as error:
                log.warning("no client certificate yet: %s; again in %.0f s", error, delay_s)
            await environment.clock.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)
    finally:
        await client.close()
    bootstrap.write_kubeconfig(Path(kubeconfig), config, store.current_path)


def _stored(store: PairStore) -> CertificatePair | None:
    try:
        return store.load()
    except (PairError, OSError) as error:
        log.warning("%s: %s", store.current_path, error)
        return None


def _inside(config: KubeConfig) -> CertificatePair | None:
    """The kubeconfig's own, as of a control plane's node that was set up by hand."""
    if not config.client_certificate_pem:
        return None
    try:
        return pair_of(config.client_certificate_pem, config.client_key_pem)
    except PairError as error:
        raise click.UsageError(f"the kubeconfig's client certificate: {error}") from error


def _with_pair(config: KubeConfig, pair: CertificatePair) -> KubeConfig:
    return replace(config, client_certificate_pem=pair.certificate_pem, client_key_pem=pair.key_pem)
