"""The demo application and its load generator: behaviour by image tag, load on loopback only."""
