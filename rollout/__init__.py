"""A progressive-delivery controller: observe, measure, plan, execute, and only `plan` decides.

Moves traffic between two versions; of statistics it knows the verdict alone.
"""

__version__ = "0.1.0"
