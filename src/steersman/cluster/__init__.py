"""The composition root: the only place that knows which shape of cluster is being built.

Configuration, PKI, kubeconfigs, which programs run with which flags, in which order, and who restarts them.
"""
