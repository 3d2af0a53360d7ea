"""Which worker a process is, from torchrun's variables and from Slurm's."""

import pytest

from kmodels.errors import InputError
from kmodels.workers.group import ALONE, Group, from_environment

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "head", "MASTER_PORT": "29500"}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}


def test_a_process_without_variables_is_alone():
    assert from_environment({}) is None
    assert from_environment(SLURM) is None  # tasks of a job that are runs of their own
    assert (ALONE.size, ALONE.is_first) == (1, True)


def test_torchruns_variables_and_slurms_say_the_same():
    expected = Group(rank=3, size=4, local_rank=1, address="head", port=29500)
    assert from_environment(TORCHRUN) == expected
    address = {name: TORCHRUN[name] for name in ("MASTER_ADDR", "MASTER_PORT")}
    assert from_environment(SLURM | address) == expected
    assert from_environment({**TORCHRUN, **SLURM, "SLURM_PROCID": "0"}) == expected
    assert not expected.is_first


def test_without_a_local_rank_there_is_one_worker_a_host():
    assert from_environment({name: value for name, value in TORCHRUN.items() if name != "LOCAL_RANK"}).local_rank == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"RANK": "x"}, "whole numbers"),
        ({"WORLD_SIZE": None}, "whole numbers"),
        ({"MASTER_PORT": ""}, "whole numbers"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR"),
        ({"RANK": "4"}, "below how many there are"),
        ({"RANK": "-1"}, "below how many there are"),
        ({"MASTER_PORT": "70000"}, "from 1 to 65535"),
    ],
)
def test_variables_that_make_no_sense_get_one_line(changed, message):
    environment = {name: value for name, value in (TORCHRUN | changed).items() if value is not None}
    with pytest.raises(InputError, match=message) as caught:
        from_environment(environment)
    assert "\n" not in str(caught.value)
