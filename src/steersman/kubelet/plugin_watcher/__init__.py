"""Finds the sockets of plugins in a folder of the node and brings the plugins to who can use them."""
