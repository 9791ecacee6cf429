"""Real servers for tests: each is started on loopback, and stopped again."""
