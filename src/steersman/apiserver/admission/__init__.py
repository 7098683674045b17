"""Admission plugins: they change or refuse writes that are authorized and well formed."""
