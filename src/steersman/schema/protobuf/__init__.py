"""``application/vnd.kubernetes.protobuf``: API objects as Go clients like to send and get them.

``tables/`` has the facts (field numbers), ``encoding`` and ``decoding`` compile them, one message at a time when it is first
met, into closures between JSON objects and wire bytes; ``envelope`` puts a kind's name around them. Nothing is loaded before
the first request in this form. Written by hand rather than on protobuf's C runtime: see ``bench/protobuf.py``.
"""
