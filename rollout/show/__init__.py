"""What a person sees of a Rollout on a terminal: objects and `now` in, text out.

Pure, and it decides nothing. No client, no console: who prints it says where and how wide.
"""
