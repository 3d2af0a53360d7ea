"""What this machine's processor can do, for the backends' choice of precision."""

import os
import platform
from pathlib import Path


def multiplies_bfloat16():
    """True if the processor multiplies bfloat16 matrices in hardware (AVX-512 BF16, AMX, Arm BF16)."""
    return bool(_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def is_amd_with_avx512():
    """True if the processor is AMD's and has vectors of 512 bits."""
    return _said("vendor_id") == "AuthenticAMD" and "avx512f" in _flags()


def is_amd_with_512_bit_units():
    """True if it also computes with all 512 bits at once: since Zen 5, whose family is 26; Zen 4 takes two halves."""
    return is_amd_with_avx512() and int(_said("cpu family")) >= 26


def _flags():
    return set(_said("flags", "Features").split())


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def name():
    """The processor's name as the system gives it."""
    return _said("model name") or platform.processor() or platform.machine()


def _said(*names):
    """What Linux says first under one of these names; "" if it says nothing."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")
