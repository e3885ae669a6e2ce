"""Is it good, is it stable, is it fast: every check drives a session."""
