"""People: masks of footage, other materials and other places for the people in it."""
