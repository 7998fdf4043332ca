"""Image and video files, opened in one place, checked before they take memory; files written whole or not at all."""
