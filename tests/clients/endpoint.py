"""A device that serves while the tests run: the demo model, with a template that has tools."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
DEMO = HERE.parent.parent / "models" / "demo"


class Endpoint:
    """`tricorn device`, its middle in the same process."""

    def __init__(self, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        model = pathlib.Path(self.folder.name) / "demo"
        shutil.copytree(DEMO, model)
        shutil.copy(HERE / "tools_template.jinja", model / "chat_template.jinja")
        command = [os.environ["TRICORN"], "device", "--model", model, "--local", "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        found = re.search(r"http://\S+?/v1", ready)
        if not found:
            self.close()
            raise RuntimeError(f"the device does not start: {ready!r}")
        self.url = found.group()

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        self.folder.cleanup()
