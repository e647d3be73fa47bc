"""The scheduler's pure core: events in, commands out. Standard library only; time and chance are
arguments."""
