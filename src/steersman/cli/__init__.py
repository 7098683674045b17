"""The command line: one file per verb, one command per component, all listed in ``main.REGISTRY``."""
