"""Process plumbing that every service uses. Knows nothing of Telegram, accounts or any service.

A service's `__main__` reads, in short::

    async def main(settings: Settings, life: Lifecycle) -> None:
        channel = open_channel(settings.registry)
        life.on_stop(channel.close)                       # hooks run in the order they were registered
        server = ServiceServer("scheduler", settings.listen, life)
        server.add(add_SchedulerServiceServicer_to_server, Servicer(..., stopping=life.stopping))
        await server.serve()                              # returns when the process has been told to stop

    if __name__ == "__main__":
        sys.exit(run("scheduler", Settings, main))
"""
