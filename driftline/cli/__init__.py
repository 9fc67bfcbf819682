"""The command line: thin commands over the client, tables for people and JSON for programs."""
