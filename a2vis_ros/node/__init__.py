"""The lifecycle node and its parts: messages, quality of service, preparation of the model."""
