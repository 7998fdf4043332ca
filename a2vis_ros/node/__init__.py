"""The lifecycle node and what it is wired from: messages, quality of service, preparation."""
