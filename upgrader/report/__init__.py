"""A run, told to people and pipelines."""
