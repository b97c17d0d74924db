"""What the API server knows of the kinds that Kubernetes itself has: names, types, defaults, rules."""
