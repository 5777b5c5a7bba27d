"""What somebody else's package brings to upgrader; found by its entry points alone."""
