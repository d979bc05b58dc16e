"""Fine-tuning a model on a few corrected cases, and the verdict on it."""
