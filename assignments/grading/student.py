"""Runs inside the sandbox: the cells and functions of one submission, at the word of the examiner outside.

Requests come in as pickles from the examiner, who is trusted. Replies go out as JSON, because this side is not: whoever
reads them gets numbers, arrays and text and never executes anything.
"""

import base64
import contextlib
import json
import os
import pickle
import resource
import signal
import struct
import sys
import traceback

MEGABYTE = 2**20
LIMITS = {  # a submission cannot raise them again
    resource.RLIMIT_AS: 8192 * MEGABYTE,
    resource.RLIMIT_FSIZE: 50 * MEGABYTE,
    resource.RLIMIT_NPROC: 64,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}
TEXT, PICTURES = 20_000, 5  # characters and pictures that one cell may leave behind


def encode(value):
    """A result as JSON: numbers, text, containers of them, arrays and tensors; of anything else its type."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | str):
        return {"kind": "plain", "value": value}
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return {"kind": type(value).__name__, "value": repr(value)}
    if isinstance(value, tuple | list | set | frozenset):
        kind = next(k for k in (tuple, list, set, frozenset) if isinstance(value, k))
        return {"kind": kind.__name__, "items": [encode(item) for item in value]}
    if isinstance(value, torch.Tensor):
        values = value.detach().cpu().resolve_conj().resolve_neg()
        if values.dtype == torch.bfloat16:
            values = values.float()
        return {
            "kind": "tensor",
            "gradient": value.requires_grad,
            "array": encode(values.numpy()),
        }
    array = np.asarray(value)
    if array.dtype.kind in "biufc":
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        if isinstance(value, np.ndarray | np.generic):
            data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
            return {
                "kind": kind,
                "dtype": array.dtype.str,
                "shape": array.shape,
                "data": data,
            }
    return {"kind": "unknown", "type": type(value).__name__}


def gradients(value, arguments):
    """The gradient of a scalar result in each argument that asks for one; None where there is none."""
    import torch

    asking = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    scalar = isinstance(value, torch.Tensor) and value.numel() == 1
    if not asking or not scalar or not value.requires_grad:
        return None
    found = torch.autograd.grad(value, asking, allow_unused=True)
    return [None if gradient is None else encode(gradient) for gradient in found]


def state(module):
    """What a function may have changed on a network: the mode of each part, weights and buffers."""
    tensors = {name: encode(value) for name, value in module.state_dict().items()}
    return {
        "training": [part.training for part in module.modules()],
        "tensors": tensors,
    }


class Student:
    """The submission's world: an IPython shell, as in the notebook, and what was put in place of its names."""

    def __init__(self):
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        class Shell(InteractiveShell):
            def enable_gui(self, gui=None):
                """There is no window, and pictures need none."""

            def _showtraceback(self, kind, error, lines):
                """The reply tells the error."""

        config = Config()
        config.HistoryManager.enabled = False
        self.shell = Shell.instance(config=config, colors="NoColor")
        self.names = self.shell.user_ns
        self.kept = {}

    def run(self, source):
        """Execute a cell -> its printed text, pictures and the error it ended with."""
        from IPython.utils.capture import capture_output

        with capture_output() as caught:
            result = self.shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        shown = [output.data for output in caught.outputs]
        pictures = [data["image/png"] for data in shown if "image/png" in data]
        texts = [
            data.get("text/plain", "") for data in shown if "image/png" not in data
        ]
        return {
            "text": shorten(
                "\n".join([caught.stdout + caught.stderr, *texts]).strip("\n")
            ),
            "pictures": pictures[:PICTURES],
            "error": describe(error) if error else None,
        }

    def look(self, names):
        """Which of these names exist, which can be called, and the values of the others."""
        found = {}
        for name in names:
            if name in self.names:
                value = self.names[name]
                call = callable(value)
                found[name] = {"kind": "function"} if call else encode(value)
        return found

    def call(self, name, arguments, keywords):
        """Call a function of the submission; with the result go gradients and what became of networks."""
        import torch

        value = self.names[name](*arguments, **keywords)
        everything = [*arguments, *keywords.values()]
        modules = [a for a in everything if isinstance(a, torch.nn.Module)]
        return {
            "value": encode(value),
            "gradients": gradients(value, everything),
            "modules": [state(module) for module in modules],
        }

    def stand_in(self, names, sources):
        """Put right solutions of other exercises in the place of the submission's, for a while."""
        self.kept = {name: self.names[name] for name in names if name in self.names}
        for source in sources:
            exec(source, self.names)

    def restore(self):
        self.names.update(self.kept)
        self.kept = {}

    def answer(self, request):
        word, *rest = request
        try:
            with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as stack:
                if word != "run":
                    stack.enter_context(contextlib.redirect_stdout(nowhere))
                    stack.enter_context(contextlib.redirect_stderr(nowhere))
                return {"ok": getattr(self, word)(*rest)}
        except BaseException as error:
            return {"failed": describe(error)}


def describe(error):
    frames = traceback.format_exception(type(error), error, error.__traceback__)
    own = [line for line in frames if "/student.py" not in line]
    return {
        "name": type(error).__name__,
        "text": shorten(str(error)),
        "trace": shorten("".join(own)),
    }


def shorten(text):
    cut = len(text) - TEXT
    return text if cut <= 0 else f"{text[:TEXT]}\n... {cut} more characters"


def receive(stream):
    head = stream.read(8)
    if len(head) < 8:
        sys.exit()
    return pickle.loads(stream.read(struct.unpack(">Q", head)[0]))


def send(stream, reply):
    data = json.dumps(reply).encode()
    stream.write(struct.pack(">Q", len(data)) + data)
    stream.flush()


def main():
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # prints of C code would mix with the replies
        os.dup2(nothing, number)
    for limit, value in LIMITS.items():
        resource.setrlimit(limit, (value, value))
    import torch

    torch.set_num_threads(1)
    student = Student()
    send(replies, {"ok": "ready"})
    while True:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # one that comes too late hits nobody
        request = receive(requests)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            reply = student.answer(request)
        except KeyboardInterrupt as late:
            reply = {"failed": describe(late)}
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        send(replies, reply)


if __name__ == "__main__":
    main()
