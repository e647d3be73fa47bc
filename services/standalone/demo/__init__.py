"""The demo: sample accounts in the test data centre, and the tour that `make demo` gives through them.

It is a client of two public interfaces, the gateway's and the test data centre's control, and of nothing
else.
"""
