"""Jobs: the ledger that records them, the queue that carries their ids, the heartbeats of the workers."""
