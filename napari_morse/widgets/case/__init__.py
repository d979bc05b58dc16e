"""What is worked on: a case of a project or a scan of its own, its corrected mask, and writing it down."""
