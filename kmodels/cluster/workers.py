"""One run's workers, placed by Ray Train; where one fails, all are placed again, and the run goes on."""

import os
import shutil
import uuid
from pathlib import Path

from kmodels import cluster, extensions, records
from kmodels.cluster import notes, processes
from kmodels.errors import InputError, Interrupted, RunError
from kmodels.signals import StopRequest
from kmodels.workers import launch
from kmodels.workers.meeting import free_port

RESTARTS = 3  # after failures; each goes on from the newest checkpoint


def run(config, output_dir):
    """Trains on a cluster, and waits for the end.

    Args:
        config: kmodels.config.RunConfig, resolved, its cluster set.
        output_dir: the run's folder, which all nodes see.

    Raises:
        InputError: there is no such cluster, or the run can't be made as it is asked for.
        RunError: it failed more than RESTARTS times; with the last reason.
        Interrupted: SIGTERM or SIGINT came; the workers saved and ended.
    """
    extensions.check_handed_on(config.model, config.dataset)
    with cluster.connected(config.cluster), StopRequest() as stop:
        import ray

        desk = notes.desk()
        share = cluster.share(config.workers)
        job = {"flags": config.to_flags(), "folder": os.getcwd(), "output_dir": str(Path(output_dir).absolute())}
        job["before"] = processes.begun(output_dir)
        job["environment"] = extensions.environment()
        fit = ray.remote(_fit).options(num_cpus=0, max_retries=0, scheduling_strategy=cluster.here())
        task = fit.remote(job, config.workers, share, desk)
        told = False
        while not ray.wait([task], timeout=processes.POLL_SECONDS)[0]:
            if stop.received and not told:
                told = True
                ray.get(desk.stop.remote())
        try:
            ended, failure = ray.get(desk.ended.remote()), ray.get(task)
        except ray.exceptions.RayError as error:  # their node is lost
            ended, failure = {}, " ".join(str(error).split())[:500]
    _raise(ended, failure, stop, output_dir)


def _fit(job, num_workers, share, desk):
    """Lets Ray Train place the workers. Runs in the cluster. Returns why that failed; None if it did not."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    own = f".ray-{uuid.uuid4().hex[:8]}"  # Ray's own, beside the run's folder
    parent = Path(job["output_dir"]).parent
    trainer = DataParallelTrainer(
        _work,
        train_loop_config={"job": job, "num_cores": int(share["CPU"]), "desk": desk},
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu="GPU" in share, resources_per_worker=share),
        run_config=RunConfig(name=own, storage_path=str(parent), failure_config=FailureConfig(max_failures=RESTARTS)),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        return " ".join(str(error).split())[:500]
    finally:
        shutil.rmtree(parent / own, ignore_errors=True)
    return None


def _work(settings):
    """One worker, in a process that Ray Train started on some node."""
    import ray
    from ray.train import get_context
    from ray.train.collective import broadcast_from_rank_zero

    job, desk, context = settings["job"], settings["desk"], get_context()
    rank = context.get_world_rank()
    ray.get(desk.begin.remote(rank))
    own = ray.util.get_node_ip_address()
    address, port = broadcast_from_rank_zero((own, free_port(own)) if rank == 0 else None)
    environment = job["environment"] | {
        "RANK": str(rank),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }
    log = Path(f"worker_{rank}.log").absolute()
    ended = processes.train(
        processes.once_overwriting(job["flags"], job["output_dir"], job["before"]),
        job["folder"],
        environment,
        log,
        settings["num_cores"],
        lambda: ray.get(desk.should_stop.remote()),
    )
    if Path(job["output_dir"], records.CONFIG).is_file():
        shutil.copyfile(log, Path(job["output_dir"], log.name))
    ray.get(desk.end.remote(rank, ended))
    if ended.status not in (0, launch.WRONG_INPUT, *launch.STOPPED):
        raise RuntimeError(f"worker {rank}: {ended.reason}")


def _raise(ended, failure, stop, folder):
    """Raises what the workers ended with; nothing if all is well."""
    by_status = {each.status: each.reason for each in sorted(ended.values(), key=lambda each: each.status)}
    if stop.received and {*by_status} & {*launch.STOPPED}:
        raise Interrupted(stop.received, "its last checkpoint")
    if launch.WRONG_INPUT in by_status:
        raise InputError(by_status[launch.WRONG_INPUT])
    if failure:
        reason = next((reason for status, reason in by_status.items() if status), failure)
        raise RunError(f"{reason}; the run's checkpoints stay in {folder}")
