"""Telling that memory ran out from other failures."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)  # torch's allocator on a CPU
