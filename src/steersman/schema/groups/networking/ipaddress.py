"""IPAddress: an address in use by a Service."""

from __future__ import annotations

from steersman.meta.resources import IPADDRESSES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=IPADDRESSES,
    definition="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    short_names=("ip",),
    storage_prefix="ipaddresses",
)
