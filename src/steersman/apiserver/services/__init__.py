"""What the API server does for Services: cluster IPs, node ports, and the ``kubernetes`` Service itself."""
