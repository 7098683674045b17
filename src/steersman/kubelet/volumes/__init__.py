"""Volume types: one file each, all of one shape (``VolumePlugin``), listed in ``registry``."""
