"""Steersman: Kubernetes v1.36 in Python. The tree below is the architecture; see docs/architecture.md."""

KUBERNETES_VERSION = "v1.36.0"
