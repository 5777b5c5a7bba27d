"""Load balancers: their own word on each backend."""
