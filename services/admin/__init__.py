"""What people touch: the `tgfleet` command. Talks only to the gateway and knows only the public contract."""
