"""The pod resources API v1 on the wire: ``podresources.proto`` and the stubs generated from it."""
