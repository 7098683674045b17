"""For suites that test against Kubernetes: a whole cluster in the test's own process, and suites for our interfaces."""

from steersman.testing.cluster import Cluster
from steersman.testing.eventually import eventually

__all__ = ["Cluster", "eventually"]
