"""Frames, orientation there and exactly back, resampling."""
