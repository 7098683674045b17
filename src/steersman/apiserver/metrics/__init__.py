"""The API server's metrics, under upstream's names. What is counted often is counted here rather than by the client library:
one look-up finds everything that a request counts."""
