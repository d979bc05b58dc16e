"""A project of many cases: worklist, decisions, second readers, background prediction."""
