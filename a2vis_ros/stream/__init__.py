"""The path of a frame through the node, from the bytes of an image to results and statistics; imports no ROS."""
