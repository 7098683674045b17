"""Calling webhooks: one client for admission, conversion, and whatever else asks a server that somebody configured."""
