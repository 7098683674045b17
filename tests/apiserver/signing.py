"""An API server that issues tokens of service accounts and knows its own again."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from steersman.apiserver.config import APIServerConfig


def signing_config() -> APIServerConfig:
    """With a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    return APIServerConfig(
        service_account_keys=(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),),
        service_account_signing_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
