"""One operator and many Rollouts: the operator alone is measured, in a world that costs it nothing."""
