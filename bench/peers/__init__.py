"""Small programs for `bench.killed`, each logging with one logger."""
