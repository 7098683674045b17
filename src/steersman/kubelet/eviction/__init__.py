"""Eviction of pods when the node runs short of memory, disk, inodes or process ids."""
