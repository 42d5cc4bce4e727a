import subprocess
import sys

import pytest

FAULTS = """
import resource
{}
def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(2**27)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
touched()
print(touched())
"""
KEPT = "from tfmo_drive.base.allocation import keep_freed_memory; keep_freed_memory()"


def pages_asked_for(first: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(first)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_large_arrays_that_were_freed_are_not_asked_for_again():
    if pages_asked_for("") < 1000:
        pytest.skip("this C library, or its environment, keeps them anyway")
    assert pages_asked_for(KEPT) < 1000
