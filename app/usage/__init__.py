"""What a project uses, and what it may use."""
