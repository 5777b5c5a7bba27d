"""The rehearsal: a room, the old version, traffic, the very same ``upgrader run``, and exact accounts."""
