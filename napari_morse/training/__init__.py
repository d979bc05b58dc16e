"""Cases, augmentation and the loop that makes models."""
