"""The core: values and pure functions, without disk, net, clock or randomness."""
