"""Token secrets."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import SECRETS, SERVICEACCOUNTS
from tests.controllers.conftest import StartWorld

NAME = "serviceaccount-token-controller"
KEY_PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)


def secret(account: str = "default") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "token",
            "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": account},
        },
    }


async def test_fills_in_a_token_of_the_account(world_of: StartWorld) -> None:
    world = await world_of(NAME, service_account_key_pem=KEY_PEM, root_ca_pem=b"CA")
    await world.create(SECRETS, secret())
    found = await world.get(SECRETS, "token")
    data = {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
    assert data["namespace"] == "default"
    assert data["ca.crt"] == "CA"
    claims = jwt.decode(data["token"], ECKey.import_key(KEY_PEM), algorithms=["ES256"]).claims
    account = await world.get(SERVICEACCOUNTS, "default")
    assert claims["sub"] == "system:serviceaccount:default:default"
    assert claims["kubernetes.io/serviceaccount/service-account.uid"] == objects.uid(account)


async def test_a_secret_goes_with_its_account(world_of: StartWorld) -> None:
    world = await world_of(NAME, service_account_key_pem=KEY_PEM)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "default"}}
    await world.create(SERVICEACCOUNTS, account)
    await world.create(SECRETS, secret("bot"))
    await world.client.delete(SERVICEACCOUNTS, "bot", namespace="default")
    await world.settle()
    assert not await world.exists(SECRETS, "token")
