"""What napari calls: reader, writers, sample data. Importing this loads neither Qt nor torch."""
