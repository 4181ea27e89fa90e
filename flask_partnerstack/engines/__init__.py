"""Who runs a pass over what is due, and when."""

from .base import Engine as Engine
from .base import NoEngine as NoEngine
from .base import Work as Work
from .inline import InlineEngine as InlineEngine
from .thread import ThreadEngine as ThreadEngine
from .uwsgi import RequestEngine as RequestEngine
from .uwsgi import threads_stand_still as threads_stand_still
