"""The scheduler: the scheduling framework of Kubernetes over NumPy columns (pure) and the shell that does its I/O."""
