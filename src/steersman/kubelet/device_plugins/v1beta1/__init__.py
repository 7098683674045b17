"""The device plugin API v1beta1 on the wire: ``deviceplugin.proto`` and the stubs generated from it."""
