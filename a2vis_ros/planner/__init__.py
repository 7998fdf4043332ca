"""The planner's side: decoding masks from messages and remembering what is hidden; imports no torch."""
