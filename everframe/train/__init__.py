"""Learning: batches in, weights out."""
