"""The history of the scheduler's schema, run at the beginning of each term."""
