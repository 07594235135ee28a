"""Options, output and log access that several commands share."""
