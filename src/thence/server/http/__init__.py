"""HTTP of a connection and of every answer: who may ask, what a browser may do."""
