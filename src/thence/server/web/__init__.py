"""Pages for people with a browser, without scripts."""
