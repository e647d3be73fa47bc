"""One file per outside thing: the registry, etcd, the database."""
