"""Cluster DNS: names of Services and pods, answered from the API; everything else is asked of other servers."""
