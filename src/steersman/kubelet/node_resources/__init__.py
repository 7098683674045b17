"""What a container gets of its own of the node: CPUs, memory of a NUMA node, devices; and how these are put together."""
