"""``/.well-known/openid-configuration`` and ``/openid/v1/jwks``: how others verify this cluster's service account tokens.

Source: "ServiceAccount token issuer discovery" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.router import PathHandler
from steersman.meta.wire import Response

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_CACHE = "public, max-age=3600"


class OpenIDPaths:
    """Nothing is served where there is no key, or where the issuer is no HTTPS URL."""

    def __init__(self, config: APIServerConfig) -> None:
        pems = list(config.service_account_keys)
        if not pems and config.service_account_signing_key:
            pems = [config.service_account_signing_key]
        issuer = config.service_account_issuer
        self._is_served = bool(pems) and issuer.startswith("https://")
        if not self._is_served:
            return
        from steersman.apiserver.authn.tokens import jwks, load_keys

        keys = [key for pem in pems for key in load_keys(pem)]
        algorithms = sorted({key.algorithm for key in keys})
        self._keys = msgspec.json.encode(jwks(keys))
        self._configuration = msgspec.json.encode(
            {
                "issuer": issuer,
                "jwks_uri": f"https://{config.advertise_address}:{config.secure_port}{KEYS}",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": algorithms,
            }
        )

    @property
    def paths(self) -> Mapping[str, PathHandler]:
        return {CONFIGURATION: self.configuration, KEYS: self.keys} if self._is_served else {}

    @property
    def prefixes(self) -> Mapping[str, PathHandler]:
        return {}

    async def configuration(self, call: Call) -> Response:
        headers = respond.headers(call, "application/json") | {"cache-control": _CACHE}
        return Response(headers=headers, body=self._configuration)

    async def keys(self, call: Call) -> Response:
        headers = respond.headers(call, "application/jwk-set+json") | {"cache-control": _CACHE}
        return Response(headers=headers, body=self._keys)
