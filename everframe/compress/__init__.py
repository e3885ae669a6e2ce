"""Smaller and faster networks from larger ones."""
