"""Upstream's scheduler_perf workloads against real processes: an API server, a scheduler, and clients that make pods."""
