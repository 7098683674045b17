"""Who may speak for a signer of certificates: a permission on ``signers``, for one or for all of a domain."""

from __future__ import annotations

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer


async def speaks_for(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """``verb`` is ``approve``, ``sign`` or ``attest``."""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        attributes = Attributes(
            user=user, verb=verb, group="certificates.k8s.io", version="*", resource="signers", name=name
        )
        if (await authorizer.authorize(attributes)).allowed:
            return True
    return False
