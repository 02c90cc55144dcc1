"""Archives of radar frames and the windows that training draws from them."""
