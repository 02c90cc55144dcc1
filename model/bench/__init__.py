"""How fast this machine makes nowcasts: `echocast bench`, and what `benchmarks/` measures with."""
