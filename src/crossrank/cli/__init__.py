"""The `crossrank` command: one file a subcommand, thin over the library."""
