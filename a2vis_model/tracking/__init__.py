"""The network driven as a stream, and the life of tracks: observations, association, results."""
