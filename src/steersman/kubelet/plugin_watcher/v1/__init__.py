"""The plugin registration API on the wire: ``pluginregistration.proto`` and the stubs generated from it."""
