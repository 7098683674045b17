"""Audit: which requests are recorded how, what an event says, and where events go."""
