"""Complete typed training runs, as Python functions."""
