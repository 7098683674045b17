"""Functions beyond the language itself: one file a library, ``KUBERNETES`` all that kube-apiserver v1.36 offers."""
