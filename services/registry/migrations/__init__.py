"""Alembic's environment for the registry's database, run by `adapters.migrate` at start."""
