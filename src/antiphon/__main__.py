"""`python -m antiphon` is the same program as `antiphon`."""

from antiphon.cli.main import app

if __name__ == "__main__":
    app(prog_name="antiphon")
