"""`python -m ncaudit`."""

from ncaudit.cli import main

if __name__ == "__main__":
    main()
