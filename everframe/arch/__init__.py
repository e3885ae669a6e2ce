"""What the network is: its spec, its primitives, its one forward pass, its file."""
