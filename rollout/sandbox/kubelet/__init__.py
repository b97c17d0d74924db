"""The one node of the embedded cluster: pods become local processes, or follow a script.

It schedules too. It runs images of the demo shop and `pause`: any other image can't be pulled.
"""
