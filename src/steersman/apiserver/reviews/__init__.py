"""Questions that are asked by creating an object and answered in its status: who is this, may they, a token for them."""
