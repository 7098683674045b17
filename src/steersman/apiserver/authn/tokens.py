"""Service account tokens: JSON Web Tokens that name a service account and what they are bound to.

``TokenIssuer`` signs them (the TokenRequest API), ``TokenVerifier`` checks signature, issuer, audience and time. Whether the
account, pod, node or secret still exists is the authenticator's question (``serviceaccount.py``).
Source: "Bound service account tokens" in the Kubernetes documentation and RFC 7519.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.apiserver.authn.claims import LEGACY_ISSUER, Claims, InvalidToken, claims_of

CACHE_LIMIT = 8192
LEEWAY_S = 60

Key = ECKey | RSAKey


class VerificationKey(Struct, frozen=True):
    """A key with the identifier and algorithm that tokens name it by."""

    key: Key
    key_id: str
    algorithm: str


def load_keys(pem: bytes) -> list[VerificationKey]:
    """Public keys of a PEM file, which may also hold private ones. Raises ``ValueError`` where there is none."""
    keys: list[VerificationKey] = []
    for block in _pem_blocks(pem):
        loaded: Any
        if b"PRIVATE" in block.split(b"\n", 1)[0]:
            loaded = serialization.load_pem_private_key(block, password=None).public_key()
        elif b"CERTIFICATE" in block.split(b"\n", 1)[0]:
            from cryptography import x509

            loaded = x509.load_pem_x509_certificate(block).public_key()
        else:
            loaded = serialization.load_pem_public_key(block)
        keys.append(_verification_key(loaded))
    if not keys:
        raise ValueError("the file holds no key")
    return keys


class TokenIssuer:
    """Signs tokens for service accounts."""

    def __init__(self, *, issuer: str, private_key_pem: bytes, clock: Clock, rng: Random) -> None:
        private = serialization.load_pem_private_key(private_key_pem, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the signing key is neither an EC nor an RSA key")
        public = _verification_key(private.public_key())
        self.issuer = issuer
        self._clock = clock
        self._rng = rng
        self._header = {"alg": public.algorithm, "kid": public.key_id}
        self._key = _jwk(private)
        self._registry = jws.JWSRegistry(algorithms=[public.algorithm])

    def issue(
        self,
        *,
        namespace: str,
        name: str,
        uid: str,
        audiences: Sequence[str],
        expiration_s: int,
        warn_after_s: int | None = None,
        bound: Mapping[str, tuple[str, str]] | None = None,
    ) -> str:
        """A token for a service account; ``bound`` has (name, uid) under ``pod``, ``node`` or ``secret``."""
        now_s = int(self._clock.now())
        private: dict[str, Any] = {
            "namespace": namespace,
            **{kind: {"name": entry[0], "uid": entry[1]} for kind, entry in (bound or {}).items()},
            "serviceaccount": {"name": name, "uid": uid},
        }
        if warn_after_s is not None:
            private["warnafter"] = now_s + warn_after_s
        claims = {
            "aud": [*audiences],
            "exp": now_s + expiration_s,
            "iat": now_s,
            "iss": self.issuer,
            "jti": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            "kubernetes.io": private,
            "nbf": now_s,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return jws.serialize_compact(self._header, msgspec.json.encode(claims), self._key, registry=self._registry)


class TokenVerifier:
    """Checks tokens of the given issuers. Good ones are remembered by their digest: a signature costs 36 µs and more."""

    def __init__(
        self, *, issuers: Sequence[str], keys: Sequence[VerificationKey], audiences: Sequence[str], clock: Clock
    ) -> None:
        self._issuers = frozenset(issuers)
        self._keys = tuple(keys)
        self._audiences = tuple(audiences)
        self._clock = clock
        self._registry = jws.JWSRegistry(algorithms=["ES256", "ES384", "ES512", "RS256"])
        self._known: OrderedDict[tuple[bytes, tuple[str, ...]], Claims] = OrderedDict()

    @property
    def audiences(self) -> tuple[str, ...]:
        """What this API server takes itself for."""
        return self._audiences

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Claims | None:
        """The claims, whose ``audiences`` are those of the token that were asked for (by default the server's own).

        None where the token is none of ours. Raises ``InvalidToken``.
        """
        wanted = tuple(audiences) or self._audiences
        identity = (hashlib.sha256(token.encode()).digest(), wanted)
        claims = self._known.get(identity)
        if claims is None:
            payload = self._payload(token)
            if payload is None:
                return None
            claims = claims_of(payload, wanted)
            self._known[identity] = claims
            if len(self._known) > CACHE_LIMIT:
                self._known.popitem(last=False)
        if self._clock.now() > claims.expires_s + LEEWAY_S:
            raise InvalidToken("service account token has expired")
        return claims

    def _payload(self, token: str) -> dict[str, Any] | None:
        try:
            _, body, _ = token.split(".")
            unverified = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            issuer = unverified["iss"]
        except (ValueError, KeyError, TypeError, msgspec.DecodeError):
            return None
        if issuer not in self._issuers and issuer != LEGACY_ISSUER:
            return None
        for entry in self._keys:
            try:
                content = jws.deserialize_compact(token, entry.key, registry=self._registry)
            except (JoseError, ValueError):
                continue
            payload: dict[str, Any] = msgspec.json.decode(content.payload)
            if payload.get("nbf", 0) > self._clock.now() + LEEWAY_S:
                raise InvalidToken("token is not valid yet")
            return payload
        raise InvalidToken("invalid signature")


def jwks(keys: Sequence[VerificationKey]) -> dict[str, Any]:
    """The public keys as ``/openid/v1/jwks`` publishes them."""
    entries = []
    for entry in keys:
        fields = entry.key.as_dict(private=False)
        entries.append({**fields, "use": "sig", "kid": entry.key_id, "alg": entry.algorithm})
    return {"keys": entries}


def _verification_key(public: Any) -> VerificationKey:
    if isinstance(public, ec.EllipticCurvePublicKey):
        algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[public.curve.key_size]
    elif isinstance(public, rsa.RSAPublicKey):
        algorithm = "RS256"
    else:
        raise ValueError("service account keys are EC or RSA keys")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    return VerificationKey(_jwk(public), key_id, algorithm)


def _jwk(key: Any) -> Key:
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    else:
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return ECKey.import_key(pem)
    return RSAKey.import_key(pem)


def _pem_blocks(pem: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    lines: list[bytes] = []
    for line in pem.splitlines():
        if line.startswith(b"-----BEGIN"):
            lines = []
        lines.append(line)
        if line.startswith(b"-----END"):
            blocks.append(b"\n".join(lines) + b"\n")
    return blocks
