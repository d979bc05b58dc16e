"""A case without a window: its masks, walk, measures, structures, corrections."""
