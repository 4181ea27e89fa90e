"""Who runs a pass over what is due, and when."""

from .base import Engine as Engine
from .base import Job as Job
from .base import NoEngine as NoEngine
from .base import Work as Work
from .draining import drain as drain
from .inline import InlineEngine as InlineEngine
from .publishing import Publish as Publish
from .publishing import PublishingEngine as PublishingEngine
from .thread import ThreadEngine as ThreadEngine
from .uwsgi import RequestEngine as RequestEngine
from .uwsgi import engine_here as engine_here
from .uwsgi import threads_stand_still as threads_stand_still
