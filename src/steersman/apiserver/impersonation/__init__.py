"""Acting as somebody else: who may, as whom, and for what."""
