"""grpc as every component takes it: ``from steersman.aio.rpc import grpc``.

It installs fork handlers that block every fork of the process while calls are in flight unless it is told not to, and reads the
setting when it is imported.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

__all__ = ["grpc"]
