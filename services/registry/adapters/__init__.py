"""The registry's ties to the outside: SQL, etcd and the master keys. Their libraries' errors stop here."""
