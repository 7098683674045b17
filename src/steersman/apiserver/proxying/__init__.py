"""Requests that somebody else answers: kubelets, pods, services, aggregated API servers."""
