"""`python -m capsedge` runs the command `capsedge`."""

from capsedge.cli import main

if __name__ == "__main__":
    main()
