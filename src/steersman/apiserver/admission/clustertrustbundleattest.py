"""ClusterTrustBundleAttest: who publishes the trust bundle of a signer has to be allowed to attest for it.

ClusterTrustBundles are served by servers that have their API switched on; by default none does.
"""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.apiserver.admission.errors import refused
from steersman.apiserver.admission.signerpermission import speaks_for
from steersman.apiserver.authz.api import Authorizer
from steersman.meta.objects import Object
from steersman.schema.equality import same

_RESOURCE = ("certificates.k8s.io", "clustertrustbundles")
_COLLECTED = ("ownerReferences", "finalizers", "managedFields")


class ClusterTrustBundleAttest:
    NAME = "ClusterTrustBundleAttest"
    OPERATIONS = ("CREATE", "UPDATE")

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        resource, bundle = request.kind.resource, request.obj
        if (resource.group, resource.plural) != _RESOURCE or bundle is None:
            return
        signer = (bundle.get("spec") or {}).get("signerName") or ""
        if not signer or (request.old is not None and _concerns_collection_only(bundle, request.old)):
            return
        if not await speaks_for(self._authorizer, request.user, "attest", signer):
            raise refused(request, f'user not permitted to attest for signerName "{signer}"')


def _concerns_collection_only(new: Object, old: Object) -> bool:
    """What storage migration and the garbage collector write."""

    def rest(obj: Object) -> Object:
        metadata = {name: value for name, value in obj["metadata"].items() if name not in _COLLECTED}
        return {**obj, "metadata": metadata}

    return same(rest(new), rest(old))


def _conforms(authorizer: Authorizer) -> ValidatingPlugin:
    return ClusterTrustBundleAttest(authorizer)
