"""Models that agents ask, over any endpoint that speaks OpenAI's chat completions."""
