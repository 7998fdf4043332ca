"""Start, spinning, end and control of programs; needs neither torch nor the package's other parts."""
