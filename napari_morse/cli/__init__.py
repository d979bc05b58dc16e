"""The same engine without a window: one file a command."""
