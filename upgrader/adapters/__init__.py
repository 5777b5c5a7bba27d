"""The only files that touch the world."""
