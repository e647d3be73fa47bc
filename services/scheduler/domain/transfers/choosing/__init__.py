"""Which account does the next batch, and why not another one. Pure. `pool.Pool` is the whole of it for
everybody else; the words it is spoken to in are in `words.py`."""
