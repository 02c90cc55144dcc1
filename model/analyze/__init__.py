"""Looking inside a network: what reaches its forecast, what its memories hold, what its layers answer to."""
