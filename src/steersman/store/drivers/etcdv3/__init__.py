"""etcd's API v3 on the wire: ``etcd.proto`` and the stubs generated from it (``etcd_pb2.py``, ``etcd_pb2.pyi``)."""
