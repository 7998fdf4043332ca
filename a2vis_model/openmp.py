"""How torch's threads wait for each other. To be imported before torch, which reads it once.

By default they wait by spinning. On a computer that has other work too a thread that spins takes the core from the one
that it waits for, and a frame, or a step of training, takes several times as long, in bad moments for seconds.
`OMP_WAIT_POLICY` is left alone where it is set already. The package imports this module before anything else; a program
that imports torch before the package imports it by itself.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
