"""RPU configurations: their schema, the named ones, and what a given one means."""
