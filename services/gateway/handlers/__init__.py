"""The gateway's use cases, over ports and domain: letting callers in, fleet calls, watching events.

What only has to be handed on to its owner has no use case; the servicer calls the port.
"""
