"""Tells monitoring agents on the node which pod has which devices, CPUs and memory."""
