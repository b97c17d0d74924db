"""The demo application and its load generator: behaviour by image tag or environment, load on loopback only."""
