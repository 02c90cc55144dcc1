"""How fast this machine computes nowcasts: `echocast bench`, and the measurements of `benchmarks/`."""
