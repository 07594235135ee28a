"""The logs under a server's root, and the answers from them."""
