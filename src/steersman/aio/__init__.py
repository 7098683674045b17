"""Asynchronous building blocks without one Kubernetes word: clock, task groups, work queue, backoff, broadcaster."""
