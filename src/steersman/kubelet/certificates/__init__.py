"""A kubelet's own certificates: asked for through CertificateSigningRequests, kept on disk, renewed in time."""
