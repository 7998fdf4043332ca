"""The subcommands of `a2vis`."""
