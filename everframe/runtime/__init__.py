"""From a bundle to frames per second: the engines."""
