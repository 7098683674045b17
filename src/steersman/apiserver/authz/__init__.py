"""Authorizers: may this user do that."""
