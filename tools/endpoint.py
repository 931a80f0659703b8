"""A cloud and a device's endpoint on loopback, for the measurements beside this file."""

import contextlib
import json
import subprocess


@contextlib.contextmanager
def endpoint(binary, slots):
    """The address of /v1 of a device with the built-in model and its cloud, which end with the block."""
    processes = []

    def start(*arguments):
        processes.append(subprocess.Popen([binary, *arguments, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True))
        return processes[-1].stdout.readline()

    try:
        cloud = json.loads(start("cloud", "--model", "demo", "--json"))["address"]
        ready = start("device", "--model", "demo", "--cloud", cloud, "--slots", str(slots))
        yield ready.split()[2].rstrip(":")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
