"""Commands on simulations and their runs."""
