"""What the judge promises, held against ten targets in seeded worlds: `make bench-judge`.

Traffic is simulated and everything is judged by `analysis` itself. Error rates need many thousand rollouts,
so they run side by side on an axis of its arithmetic (`many`); some of each set are judged again by the folds
that run in production, and a difference ends the benchmark.
"""
