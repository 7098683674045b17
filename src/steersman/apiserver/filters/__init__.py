"""The filters that every request passes, in their order (``filters.chain.ORDER``)."""
