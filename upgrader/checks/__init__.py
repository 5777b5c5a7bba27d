"""Pre-flight checks, one subject a file."""
