"""Localization of tracked masks as objects in space. NumPy, SciPy, OpenCV and filterpy alone; no torch, no ROS.

masks + camera (+ depth) + transform → one position a track (`placement`) → a filter a track (`motion`) → `localizer`
"""
