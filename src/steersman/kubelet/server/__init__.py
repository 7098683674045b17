"""The kubelet's HTTPS server, port 10250: logs, exec, attach, port-forward, stats and metrics of this node's pods."""
