"""The study: four sets, several arms, several seeds; a command per table (``python -m benchmarks.study --help``)."""
