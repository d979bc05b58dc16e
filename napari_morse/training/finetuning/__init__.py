"""Rounds on top of a model, or from labels alone: plan, process, verdict."""
