"""One run of a model on one scan: session, engine, table, files."""
