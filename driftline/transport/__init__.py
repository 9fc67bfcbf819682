"""The drivers of operations: they alone send, read and wait, one of them blocking, the other awaiting."""
