"""Talking to an API server: transports, the client, informers, leader election, event recording."""
