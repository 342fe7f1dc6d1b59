"""A plugin for parallel runs of nbval: kernels talk over files, for two that look for free TCP ports at once may find the same."""

import functools
import os
import tempfile

import nbval.kernel


def pytest_configure(config):
    """Give the kernels of this process a folder of their own for their sockets."""
    if os.name == "posix":
        folder = tempfile.TemporaryDirectory(prefix="kernels-")
        config.add_cleanup(folder.cleanup)
        manager = nbval.kernel.KernelManager
        nbval.kernel.KernelManager = functools.partial(manager, transport="ipc", ip=f"{folder.name}/kernel")
