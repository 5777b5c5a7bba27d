"""Kinds of step: what one intent does, and how it is undone."""
