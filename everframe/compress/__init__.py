"""Smaller and faster networks from larger ones: bundles in, bundles out."""
