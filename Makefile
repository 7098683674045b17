# One entry point: make up | down | test | lint | bench | docs. Each target says what it does.
