"""Experiments, a command each."""
