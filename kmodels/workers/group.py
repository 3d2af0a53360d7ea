"""Which of a run's workers this process is, as the program that started it says."""

import os
from dataclasses import dataclass

from kmodels.errors import InputError

# The names of torchrun and of Slurm, in the order of the fields; Slurm gives no address.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")


@dataclass(frozen=True)
class Group:
    """The workers of a run, as one of them sees them.

    Attributes:
        rank: this worker's number, from 0; worker 0 writes the run's folder.
        size: how many workers there are, on all hosts.
        local_rank: this worker's number among those on its host.
        address, port: where worker 0 waits for the others.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def is_first(self):
        """True for the worker that writes the run's folder; so for the only one."""
        return self.rank == 0


ALONE = Group()


def from_environment(environment=os.environ):
    """The Group that torchrun's variables, or Slurm's, describe; None where there are none.

    RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; or SLURM_PROCID, SLURM_NTASKS and SLURM_LOCALID with
    MASTER_ADDR and MASTER_PORT. A Slurm job without MASTER_ADDR is none: its tasks are runs of their own.

    Raises:
        InputError: one of them is missing, or is not possible.
    """
    names = _TORCHRUN
    if "RANK" not in environment and "SLURM_PROCID" in environment and "MASTER_ADDR" in environment:
        names = _SLURM
    if names[0] not in environment:
        return None
    values = {name: environment.get(name) for name in (*names, "MASTER_PORT")}
    if values[names[2]] is None:
        values[names[2]] = "0"  # one worker a host
    try:
        rank, size, local_rank, port = (int(values[name] or "") for name in (*names, "MASTER_PORT"))
    except ValueError as error:
        given = ", ".join(f"{name}={value}" for name, value in values.items())
        raise InputError(f"a worker needs whole numbers in {', '.join(values)}; got {given}") from error
    address = environment.get("MASTER_ADDR")
    if not address:
        raise InputError("a worker needs MASTER_ADDR, the host of worker 0; it is not set")
    if not (0 <= rank < size and local_rank >= 0 and 0 < port < 2**16):
        given = f"{names[0]}={rank}, {names[1]}={size}, {names[2]}={local_rank}, MASTER_PORT={port}"
        raise InputError(f"a worker's number must be below how many there are, its port from 1 to 65535; got {given}")
    return Group(rank, size, local_rank, address, port)
