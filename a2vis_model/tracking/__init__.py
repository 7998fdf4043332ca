"""The network driven as a stream, and the life cycle of tracks: observations, association, results."""
