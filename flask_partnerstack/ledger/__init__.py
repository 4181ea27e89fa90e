"""The durable record of every conversion: a transactional outbox in SQL."""

from .app_database import AppDatabase as AppDatabase
from .connecting import LEDGER_URL as LEDGER_URL
from .connecting import parse_url as parse_url
from .database import Database as Database
from .deliveries import Clock as Clock
from .deliveries import Outlook as Outlook
from .deliveries import utcnow as utcnow
from .entry import TRANSITIONS as TRANSITIONS
from .entry import Attempt as Attempt
from .entry import Claim as Claim
from .entry import Entry as Entry
from .entry import Status as Status
from .entry import Verdict as Verdict
from .merging import Moved as Moved
from .moving import Move as Move
from .pause import Cause as Cause
from .pause import Pause as Pause
from .pause import Streak as Streak
from .place import Place as Place
from .source import open_source as open_source
from .storage import Storage as Storage
from .store import Ledger as Ledger
from .store import Recorded as Recorded
from .tables import add_tables as add_tables
