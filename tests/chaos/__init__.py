"""Randomised histories of faults over a whole fleet of real processes, judged by the journal."""
