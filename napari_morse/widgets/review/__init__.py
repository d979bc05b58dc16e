"""The Review tab: the walk along doubtful patches, measures, a ground truth."""
