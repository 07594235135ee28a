"""Large values, kept once beside the lines that name them."""
