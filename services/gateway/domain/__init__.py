"""The gateway's decisions as pure functions: who may call what, what a well-formed request is, which result
is still owed."""
