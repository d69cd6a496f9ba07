"""`python -m crossrank` is the `crossrank` command, for where scripts are not on the path."""

from crossrank.cli.main import main

if __name__ == "__main__":
    main()
