"""Masks in image pixels: from logits to run lengths inside a box, and connected components."""
