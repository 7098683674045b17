"""Measurements against the budgets of docs/architecture.md: ``make bench``."""
