"""Admission policies written in CEL: policies and bindings compiled, their parameters, and the two plugins that enforce them."""
