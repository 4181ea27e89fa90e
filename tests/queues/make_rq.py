"""An RQ worker in the site's app context, until it is stopped: ``python -m tests.queues.make_rq``.

With ``cron`` behind it, the process that enqueues the sweep at intervals, as ``rq cron`` does.
"""

from __future__ import annotations

import sys

from rq import Queue
from rq import Worker
from rq.cron import CronScheduler

from flask_partnerstack.rq import sweep
from tests.e2e.site import create_app


def main() -> None:
    app = create_app()
    queue: Queue = app.extensions["rq"]
    if "cron" in sys.argv:
        scheduler = CronScheduler(connection=queue.connection)
        scheduler.register(sweep, queue_name=queue.name, interval=1)
        scheduler.start()  # type: ignore[no-untyped-call]  # has no annotations
        return
    with app.app_context():
        Worker([queue], connection=queue.connection).work(logging_level="WARNING")


if __name__ == "__main__":
    main()
