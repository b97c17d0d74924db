"""Traffic objects as values: `read` finds the weights of our pair, `render` writes them and nothing else. No client."""
