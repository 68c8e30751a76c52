"""The daemon: threads, queues, signals and the socket live here and nowhere else."""
