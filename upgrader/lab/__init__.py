"""The embedded rehearsal: a real Kubernetes without containers."""
