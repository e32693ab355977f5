"""The GPU memory of a replica: limit it to the replica's share, and measure what is free."""


def limit_memory(share: float) -> None:
    """Limit torch to a fraction of the GPU, so that a replica that needs more fails alone.

    Args:
        share: `resources.num_gpus`; 0 and whole GPUs are not limited.
    """
    import torch

    if 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share)


def free_memory(share: float) -> int:
    """Bytes that this process can still allocate, on the GPU and within its share."""
    import torch

    free, total = torch.cuda.mem_get_info()
    if not 0 < share < 1:
        return int(free)
    return max(0, min(free, int(share * total) - torch.cuda.memory_reserved()))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that GPU or CPU memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)  # torch's CPU allocator
