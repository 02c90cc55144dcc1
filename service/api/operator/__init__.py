"""What an operator on duty looks at."""
