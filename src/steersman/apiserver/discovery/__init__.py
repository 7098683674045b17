"""What the server serves, told to clients: groups, versions, resources."""
