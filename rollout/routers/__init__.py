"""Traffic objects as values: `read` finds the weights of our pair, `render` writes them and nothing else.

No client: what is read comes as an argument, what shall be written goes back as a value.
"""
