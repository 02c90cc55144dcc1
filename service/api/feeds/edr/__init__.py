"""OGC API - Environmental Data Retrieval 1.1: each feed is a collection, and each of its nowcasts an instance."""
