"""Small programs for `thence bench kill`, each logging with one logger."""
