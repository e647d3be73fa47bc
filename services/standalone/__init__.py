"""`tgfleet up`: the whole fleet on one machine, one OS process per service and per worker, with nothing to
install.

This room starts, watches and stops processes, and knows services only by `python -m services.<name>`, their
environment and their gRPC interfaces. It imports none of them.
"""
