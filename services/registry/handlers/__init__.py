"""The registry's use cases: plain async functions over ports and domain. They know neither gRPC nor SQL nor
etcd."""
