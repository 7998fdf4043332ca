"""The C library's allocator, told to keep the memory that a step gives back for the next one."""

import ctypes
import os

# glibc's malloc.h, and the environment variables of the same meaning.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_SETTINGS = (
    (_M_MMAP_MAX, 0, "MALLOC_MMAP_MAX_"),
    (_M_TRIM_THRESHOLD, -1, "MALLOC_TRIM_THRESHOLD_"),
)


def keep_memory() -> bool:
    """Serve large blocks from the heap and never trim it, from now on and in this process alone.

    By default glibc maps each large block anew and gives it back when it is freed; the kernel clears its pages every
    time. A step on a CPU asks for the same hundreds of blocks as the step before, and has them cleared for nothing.
    What environment variables say is left as it is.

    Returns:
        whether the allocator is glibc's and took the settings.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    taken = [name in os.environ or library.mallopt(option, value) == 1 for option, value, name in _SETTINGS]
    return all(taken)
