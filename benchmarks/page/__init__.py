"""Stored figures, the table of aims, and the generated parts of the pages in docs/."""
