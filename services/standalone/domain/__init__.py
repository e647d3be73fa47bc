"""What to start, in which order, and when to start it again: decisions without I/O."""
