"""The API server: a request core without I/O of its own, and everything that serves it."""
