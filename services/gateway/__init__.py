"""The public face of the fleet: authentication, form, streaming. Owns no state, so any number may run.

It must not know what an account is in, how one is started or where a token is kept: registry and scheduler
own that."""
