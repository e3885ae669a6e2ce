"""Frames in time: the session, video files, the pump between them."""
