"""Orders of transfers, carried out for single accounts. Knows nothing of the transfer they belong to."""
