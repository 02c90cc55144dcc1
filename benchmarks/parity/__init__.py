"""How close outputs are: the networks against their official code, and tiles against a domain in one piece."""
