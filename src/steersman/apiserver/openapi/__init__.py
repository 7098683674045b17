"""``/openapi``: what clients know of the kinds' structure."""
