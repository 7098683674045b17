"""Who owns which field: managed fields and server-side apply.

``operations`` is the entry: ``apply`` and ``update`` give an object with its ``metadata.managedFields`` brought up to date.
Source: KEP-555 (server-side apply) and the specification of FieldsV1 in the API reference.
"""
