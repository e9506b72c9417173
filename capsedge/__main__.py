"""`python -m capsedge` is the command `capsedge`."""

from capsedge.cli import main

if __name__ == "__main__":
    main()
