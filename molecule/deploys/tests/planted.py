"""Secrets that the app of this scenario is given, and prints."""

# Of app_environment; the app prints all of it, and its commands some of it.
SECRETS = "hunter2|pl4nted"
# What a run prints when it is asked for all that it can tell.
TALKATIVE = ("-vvv", "--diff")
