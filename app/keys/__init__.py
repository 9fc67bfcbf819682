"""Keys of the API: who may do what, in which project."""
