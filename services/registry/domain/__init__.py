"""Pure decisions of the registry: standard library only, `now` is an argument, nothing here does I/O."""
