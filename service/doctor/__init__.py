"""`echocast doctor`: what keeps this installation from working, and how to mend it."""
