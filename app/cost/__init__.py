"""What an inference costs on a chip: hardware profiles, and estimates by them."""
