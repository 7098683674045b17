"""Devices of dynamic resource allocation: what drivers offer, what claims ask for, and which devices a claim gets.

``slices`` reads what is offered, ``requests`` what is wanted, ``ledger`` knows what is taken, ``allocation`` searches for a
solution on one node, ``results`` writes it as the API wants it. ``extended`` turns extended resources into requests.

Source: "Dynamic Resource Allocation" in the Kubernetes documentation; KEP-4381 (structured parameters), KEP-4815
(partitionable devices), KEP-4816 (prioritized alternatives), KEP-5004 (extended resources), KEP-5007 (binding
conditions), KEP-5055 (device taints), KEP-5075 (consumable capacity).
"""
