"""Wait policy of torch's OpenMP threads. This module must be imported before torch, which reads the setting once.

By default threads wait by spinning. On a computer with other work, a spinning thread occupies the core that the thread
it waits for needs, and a frame, or a step of training, takes several times as long, at worst for seconds.
A value of `OMP_WAIT_POLICY` that is already set is kept. The package imports this module before anything else; a
program that imports torch before the package must import it first.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
