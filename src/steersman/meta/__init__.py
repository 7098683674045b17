"""What every Kubernetes program knows about objects: names of resources, views, selectors, quantities, times, errors."""
