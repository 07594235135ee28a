"""The log: its files, and the writers and readers that make acknowledged events durable."""
