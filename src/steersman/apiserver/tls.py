"""TLS contexts of the API server."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from steersman.apiserver.config import APIServerConfig, KubeletAccess, Listener


def server_context(
    listener: Listener, config: APIServerConfig, *, failed: Callable[[], None] | None = None
) -> ssl.SSLContext:
    """For clients: their certificates are asked for, and verified where they come. Raises ``OSError``, ``ssl.SSLError``.

    HTTP/1.1 is all that is offered: clients that could do more fall back to it. ``failed`` is called for each handshake that
    comes to nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if failed is not None:
        context.sslobject_class = _counting(failed)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.certificate_file, listener.key_file)
    context.set_alpn_protocols(["http/1.1"])
    authorities = b"\n".join(pem for pem in (config.client_ca, config.request_header_client_ca) if pem)
    if authorities:
        context.load_verify_locations(cadata=authorities.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _counting(failed: Callable[[], None]) -> type[ssl.SSLObject]:
    class CountingSSLObject(ssl.SSLObject):
        """Tells of handshakes that fail, of which event loops say nothing."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError:
                failed()
                raise

    return CountingSSLObject


def kubelet_context(access: KubeletAccess) -> ssl.SSLContext:
    """For connections to kubelets. Raises ``OSError`` and ``ssl.SSLError``."""
    if access.ssl_context is not None:
        return access.ssl_context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if access.certificate_authority_file:
        context.load_verify_locations(access.certificate_authority_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.client_certificate_file:
        context.load_cert_chain(access.client_certificate_file, access.client_key_file or None)
    return context
