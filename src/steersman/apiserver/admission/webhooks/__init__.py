"""Admission webhooks: configurations compiled, reviews made and read, calls, and the two plugins that make them."""
