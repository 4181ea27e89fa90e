"""What happens to what is due: sent, judged, looked up, and written down."""

from .dispatcher import Dispatcher as Dispatcher
from .outcome import Outcome as Outcome
