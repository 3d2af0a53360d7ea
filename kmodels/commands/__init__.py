"""What `kmodels COMMAND` does: a file each, with its `HELP` and `run(arguments)`."""
