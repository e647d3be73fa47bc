"""Pure decisions of the worker: data and events in, decisions out. Imports the standard library and
itself."""
