"""Ratios, measured side by side in one run: no figure here depends on how fast the machine is."""
