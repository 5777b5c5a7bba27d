"""The flow, one verb a file: preflight, apply, observe, decide, roll_back."""
