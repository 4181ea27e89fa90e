"""The ``flask partnerstack`` commands: each a few lines over a method of the same name.

Found through the ``flask.commands`` entry point, without the app doing anything. Exit codes: 0 all
is well, 1 something is wrong, 2 it was called wrongly, 130 stopped by Ctrl-C, 143 by SIGTERM, 129
by SIGHUP; ``worker`` and ``sandbox``, which run until they are stopped, end with 0 then.
"""

from . import checking as checking
from . import delivering as delivering
from . import exporting as exporting
from . import forgetting as forgetting
from . import importing as importing
from . import looking as looking
from . import moving as moving
from . import recording as recording
from . import requeuing as requeuing
from . import setting_up as setting_up
from . import verifying as verifying
from .group import partnerstack as partnerstack
