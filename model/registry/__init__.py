"""Which model runs: aliases, gates, promotion, and the variants of packages."""
