"""The pod network of a node: address range, CNI configuration, routes to other nodes, masquerading to the outside."""
