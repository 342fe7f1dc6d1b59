"""The fourteen layers: pure functions, no plotting, no I/O."""
