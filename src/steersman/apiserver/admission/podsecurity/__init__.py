"""PodSecurity: the Pod Security Standards, by the labels of namespaces."""
