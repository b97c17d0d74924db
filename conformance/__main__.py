"""`make conformance`.

Exit codes: 0 all stories passed, or no cluster is named; 1 not so; 2 wrong usage; 3 no cluster there.
"""

from conformance.running import main

main()
