"""The query API over a folder of logs."""
