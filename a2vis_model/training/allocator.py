"""Settings of the C library's allocator that keep freed memory for the next step."""

import ctypes
import os

# Values from glibc's malloc.h, and the environment variables of the same meaning.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_SETTINGS = (
    (_M_MMAP_MAX, 0, "MALLOC_MMAP_MAX_"),
    (_M_TRIM_THRESHOLD, -1, "MALLOC_TRIM_THRESHOLD_"),
)


def keep_memory() -> bool:
    """Serve large blocks from the heap and never trim it, from now on and in this process only.

    By default glibc maps each large block anew and returns it when it is freed, and the kernel clears its pages every
    time. A step on a CPU asks for the same hundreds of blocks as the previous step, so clearing them is wasted time.
    Values set by environment variables are kept.

    Returns:
        Whether the allocator is glibc's and accepted the settings.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    taken = [name in os.environ or library.mallopt(option, value) == 1 for option, value, name in _SETTINGS]
    return all(taken)
