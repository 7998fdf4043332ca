"""Messages as the bytes that DDS and bags carry, for what rclpy's own conversion would change or copy once more."""
