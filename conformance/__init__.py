"""Upstream's own conformance tests, run against a cluster: ``python -m conformance --help``.

The suite is upstream's ``e2e.test`` binary and the ``ginkgo`` that runs it in parallel; neither is part of this
repository. docs/howto/run-the-conformance-suite.md tells where they come from.
"""
