"""kube-proxy: Services and EndpointSlices become rules of this node's kernel."""
