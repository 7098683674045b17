"""Functions beyond the language itself, one library a file."""
