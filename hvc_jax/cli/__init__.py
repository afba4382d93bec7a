"""The command line: options and printing, a file a command; nothing imports it."""
