"""The durable record of every conversion: a transactional outbox in SQL."""

from .database import Database as Database
from .database import parse_url as parse_url
from .deliveries import Clock as Clock
from .deliveries import Outlook as Outlook
from .deliveries import utcnow as utcnow
from .entry import TRANSITIONS as TRANSITIONS
from .entry import Attempt as Attempt
from .entry import Claim as Claim
from .entry import Entry as Entry
from .entry import Status as Status
from .entry import Verdict as Verdict
from .pause import Cause as Cause
from .pause import Pause as Pause
from .pause import Streak as Streak
from .place import Place as Place
from .privacy import ERASED as ERASED
from .privacy import is_erased as is_erased
from .reports import Day as Day
from .reports import Page as Page
from .reports import PartnerShare as PartnerShare
from .reports import Stretch as Stretch
from .store import Ledger as Ledger
from .store import Recorded as Recorded
