"""A package per kind of work: its specification, its plan, its key of reuse and its results."""
