"""The cellar: the disk, and all that makes an acknowledged event stay."""
