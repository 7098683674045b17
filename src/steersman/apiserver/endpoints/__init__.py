"""One file per verb or subresource; ``endpoints.routes`` lists which serves what."""
