"""The Segment tab: scan, region, model, run, result."""
