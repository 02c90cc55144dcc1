"""Which model is the champion: gates that a promotion must pass, promotion, rollback."""
