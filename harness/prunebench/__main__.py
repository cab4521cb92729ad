"""`python -m prunebench`."""

from prunebench.cli import main

if __name__ == "__main__":
    main()
