"""How Celery runs here. Its queues carry ids only; the record is in the store, which hands out again what gets lost."""

from kombu.entity import Exchange, Queue

from worker.rules.timing import BEAT_EXPIRES_S, BEAT_S, COUNT_BEAT_S, TEND_BEAT_S
from worker.settings import load_settings
from worker.store.redis_server import broker

# The store's Redis is the broker too, under a prefix of its own.
_broker = broker(load_settings().store_url)
broker_url = _broker.url
broker_use_ssl = _broker.tls
broker_transport_options = {
    **_broker.options,
    "global_keyprefix": "celery:",
    # kombu has no socket time-out by default: a half-open connection then silences a worker for ever.
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "retry_on_timeout": False,  # a repeated push is a second message
    "max_retries": 1,  # publishing fails within half a second instead of hanging; the sweep finds what was not sent
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
    # A message is gone once a worker has taken it: if that worker dies, the store hands out its attempts again. With
    # kombu's own copies of unacknowledged messages, a worker that loses Redis before it acknowledges tries to restore
    # them, and exits.
    "ack_emulation": False,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # Redis may be away for as long as it likes
broker_channel_error_retry = True  # an error reply (Redis is full, or a replica for a moment) ends no worker
broker_pool_acquire_timeout = 5.0
task_publish_retry = False

# Results are in the store.
result_backend = None
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"


def _queue(name: str) -> Queue:
    # With an exchange and a key of its own: Queue(name) alone would be bound to the default ones, and share messages.
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


# Dialing waits on the network, and must not hold up the claim, the sweep and the conclusions.
task_queues = [_queue("control"), _queue("dial")]
task_default_queue = "control"
task_create_missing_queues = False  # a misspelt queue is an error, not a place where messages wait for ever
task_routes = {"worker.tasks.place_call": {"queue": "dial"}}

# Late acknowledgement would deliver messages twice, and the store does not need it.
task_acks_late = False
task_reject_on_worker_lost = False
worker_prefetch_multiplier = 1
worker_disable_prefetch = True  # a worker reserves no messages: none grows old, and none is lost with it

# Threads: a dial is a wait for the network, and prefork costs 75 MB for each call at once. place_call holds one until
# its dials are recorded, so that a warm shutdown waits for them. At the fastest pace (1000/s) 47 messages are ahead of
# their departures (AHEAD, TOGETHER in worker/rules/timing.py), and the claim, the sweep and the conclusions need some
# as well.
worker_pool = "threads"
worker_consumer = "worker.app:ReadyConsumer"
worker_concurrency = 64
worker_soft_shutdown_timeout = 10.0
worker_cancel_long_running_tasks_on_connection_loss = False  # never abandon a POST because the broker blinked
worker_send_task_events = False  # with events, the throughput falls to a third
worker_hijack_root_logger = False
worker_eta_task_limit = 100

# Doubled and piled-up beats are harmless: the store takes one of each kind at a time (Store.tick).
beat_scheduler = "worker.app:Scheduler"
beat_max_loop_interval = 0.2
beat_schedule_filename = str(load_settings().data_dir / "beat-schedule")
beat_schedule = {
    name: {"task": f"worker.tasks.{task}", "schedule": every_s, "options": {"expires": BEAT_EXPIRES_S}}
    for name, task, every_s in (
        ("claim", "claim_due", BEAT_S),
        ("bots", "count_bots", COUNT_BEAT_S),
        ("caller-ids", "tend_caller_ids", TEND_BEAT_S),
        ("sweep", "sweep", BEAT_S),
    )
}
