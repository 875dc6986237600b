"""The commands of the command line: what each asks for, what it calls, where its answer goes."""
