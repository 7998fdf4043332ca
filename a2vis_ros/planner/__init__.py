"""The planner's side: reading masks from messages, and remembering what is hidden; imports no torch."""
