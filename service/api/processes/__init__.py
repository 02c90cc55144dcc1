"""OGC API - Processes - Part 1 (1.0) over the nowcasts: the same jobs, seen as executions of one process."""
