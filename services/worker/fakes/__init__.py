"""Fakes of the worker's ports. They pass the same contract suite as the real ones, and work in virtual
time."""
