"""Where samples come from. A source answers with raw samples and warnings; it never judges."""
