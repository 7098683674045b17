"""API servers beside this one: APIServices, whether they are available, and everything that is passed on to them."""
