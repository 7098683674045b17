"""The kind registry: names, versions, defaults, validation, printer columns and structural schemas of every kind."""
