"""Signal sources: each turns the fleet into readings."""
