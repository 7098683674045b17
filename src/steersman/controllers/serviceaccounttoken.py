"""Signing the tokens that stand in token secrets: no expiry, bound to nothing but the secret and the service account.

Source: "Manually create a long-lived API token for a ServiceAccount" in the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

ISSUER = "kubernetes/serviceaccount"


class TokenSigner:
    """Signs with one RSA (RS256) or EC P-256 (ES256) private key; its key id is what the API server derives from the public key."""

    def __init__(self, key_pem: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_pem_private_key,
        )
        from joserfc.jwk import ECKey, RSAKey

        private = load_pem_private_key(key_pem, password=None)
        self._key: Any
        if isinstance(private, RSAPrivateKey):
            self._algorithm, self._key = "RS256", RSAKey.import_key(key_pem)
        elif isinstance(private, EllipticCurvePrivateKey) and private.curve.key_size == 256:
            self._algorithm, self._key = "ES256", ECKey.import_key(key_pem)
        else:
            raise ValueError("service-account-private-key-file: only RSA and EC P-256 keys are supported")
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()

    def token(self, *, namespace: str, account: str, account_uid: str, secret: str) -> str:
        from joserfc import jwt

        prefix = "kubernetes.io/serviceaccount"
        claims = {
            "iss": ISSUER,
            f"{prefix}/namespace": namespace,
            f"{prefix}/secret.name": secret,
            f"{prefix}/service-account.name": account,
            f"{prefix}/service-account.uid": account_uid,
            "sub": f"system:serviceaccount:{namespace}:{account}",
        }
        header = {"alg": self._algorithm, "kid": self._key_id}
        return jwt.encode(header, claims, self._key, algorithms=[self._algorithm])
