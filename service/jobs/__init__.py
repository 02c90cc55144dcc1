"""Jobs: the ledger that remembers them, the queue that carries their ids, the workers that are alive."""
