"""`python -m stylefacev_cli` is the same as the command `stylefacev`."""

from stylefacev_cli.cli.app import main

if __name__ == "__main__":
    main()
