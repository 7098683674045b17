"""CRI v1 on the wire: ``cri.proto`` and the stubs generated from it (``cri_pb2.py``, ``cri_pb2.pyi``)."""
