"""Sums over the processes of a training, by any object with MPI's way of sending arrays."""


def add_up(communicator, values):
    """Replace the array of each process by the sum over all, in place.

    Halves of the processes are summed each by itself, then both: with an order of its own the sum has the bits that one process comes to,
    which those of `Allreduce` need not have. `communicator` has `Get_rank()`, `Get_size()`, `Send(array, dest=...)` and `Recv(array, source=...)`, as
    `mpi4py.MPI.COMM_WORLD` does.
    """
    rank, low, count, levels = communicator.Get_rank(), 0, communicator.Get_size(), []
    while count > 1:
        half = count // 2
        middle = low + half
        levels.append((low, middle))
        low, count = (low, half) if rank < middle else (middle, count - half)
    other = None
    for low, middle in reversed(levels):
        if rank == middle:
            communicator.Send(values, dest=low)
        elif rank == low:
            other = values.copy() if other is None else other
            communicator.Recv(other, source=middle)
            values += other
    for low, middle in levels:
        if rank == low:
            communicator.Send(values, dest=middle)
        elif rank == middle:
            communicator.Recv(values, source=low)
