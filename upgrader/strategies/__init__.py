"""Strategies: playbook and current state in, steps out."""
