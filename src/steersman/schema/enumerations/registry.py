"""All enumerated types."""

from __future__ import annotations

from steersman.schema.enumerations.cluster import CLUSTER
from steersman.schema.enumerations.enumeration import Enumeration
from steersman.schema.enumerations.extensions import EXTENSIONS
from steersman.schema.enumerations.pods import PODS
from steersman.schema.enumerations.storage import STORAGE
from steersman.schema.enumerations.workloads import WORKLOADS

ENUMERATIONS: tuple[Enumeration, ...] = (*PODS, *STORAGE, *CLUSTER, *WORKLOADS, *EXTENSIONS)
