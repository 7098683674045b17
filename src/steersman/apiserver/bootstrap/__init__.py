"""What the API server puts into a new cluster: RBAC policy, priority classes, flow control, namespaces."""
