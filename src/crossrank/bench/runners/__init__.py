"""What is measured, as a child process opens it: one module a library, imported in that process only."""
