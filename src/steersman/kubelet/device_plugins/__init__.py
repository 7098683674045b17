"""Devices of the node that plugins offer over gRPC, and which container has which of them."""
