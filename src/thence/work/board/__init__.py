"""The board, a pure replay of a project's events, and the rules of a move."""
