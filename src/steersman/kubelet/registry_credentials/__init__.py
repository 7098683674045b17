"""Who may pull what: credentials for registries from pull secrets, the node's files and credential provider plugins,
and the records of which of them each image on the node was pulled with."""
