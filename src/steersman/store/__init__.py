"""etcd's data model and nothing more: the Store protocol, its drivers, and the watch cache above it."""
