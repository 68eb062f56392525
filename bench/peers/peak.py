"""Largest resident size of this process so far, in 10^6 bytes."""
import re
import resource
import sys


def peak_mb():
    # Linux: VmHWM starts anew with the program; the maximum of getrusage includes the size of the process that started it.
    try:
        with open("/proc/self/status") as status:
            return int(re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.M).group(1)) * 1.024e-3
    except (OSError, AttributeError):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest * (1e-6 if sys.platform == "darwin" else 1.024e-3)
