"""A replica's share of a GPU: how much memory it may take, and how much of that is left."""


def limit_memory(share: float) -> None:
    """Keep torch to a fraction of the GPU where others have the rest: beyond it a replica runs out of memory, not they.

    Args:
        share: `resources.num_gpus`; whole GPUs, or none named, are not limited.
    """
    import torch

    if 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share)


def free_memory(share: float) -> int:
    """Bytes that this process may still take: of the GPU, and of its own share."""
    import torch

    free, total = torch.cuda.mem_get_info()
    if not 0 < share < 1:
        return int(free)
    return max(0, min(free, int(share * total) - torch.cuda.memory_reserved()))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)  # torch's allocator on a CPU
