"""How programs start, spin, end, and steer each other; needs neither torch nor the other rooms."""
