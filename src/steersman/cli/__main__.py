"""``python -m steersman.cli``: this installation's command, whatever PATH says."""

from steersman.cli.main import main

main(prog_name="steersman")
