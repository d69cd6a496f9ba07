"""Takes AMX from this process: called before a runner is imported, where everything is held to an instruction set."""

import ctypes
import os
import struct
from typing import Any

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
ARCH_REQ_XCOMP_PERM = 0x1023
SYS_ARCH_PRCTL = 158  # x86-64


def refuse() -> None:
    """Linux lends a process AMX only when asked, by arch_prctl; a filter that refuses takes it from any library.

    ONNX Runtime has no switch of its own; this is the only way to keep it to AVX-512 on a machine with tiles.
    """
    if os.uname().machine != "x86_64":
        return
    allow, refusal = 0x7FFF0000, 0x00050000 | 22  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EINVAL
    load, equal, give = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (load, 0, 0, 0),  # the number of the system call
            (equal, 0, 3, SYS_ARCH_PRCTL),
            (load, 0, 0, 16),  # the low half of its first argument
            (equal, 0, 1, ARCH_REQ_XCOMP_PERM),
            (give, 0, 0, refusal),
            (give, 0, 0, allow),
        )
    )
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps)))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, 2, ctypes.cast(header, ctypes.c_void_p))


def _prctl(option: int, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*arguments, *[0] * (4 - len(arguments))]
    unsigned = [a if isinstance(a, ctypes.c_void_p) else ctypes.c_ulong(a) for a in padded]
    if libc.prctl(ctypes.c_int(option), *unsigned) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
