"""What a worker holds: a module a peer, each with `Runner(options)`: `settings`, `use(setting)`, `score(pairs)`."""
