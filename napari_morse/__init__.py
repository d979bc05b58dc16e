"""MORSE segmentation for napari: coarse and rendered masks, corrected and learned from locally."""

__version__ = "0.1.0"
