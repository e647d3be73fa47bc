"""Processes, files, ports and etcd: everything outside that the supervisor touches."""
