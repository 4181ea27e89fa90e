"""Flask-PartnerStack: captures PartnerStack referrals, reports conversions server-to-server.

The house, from roof to ground. A file imports only from lower floors::

    testing
        the developer's kit: your app before a PartnerStack that is not there
    extension | cli
        PartnerStack; the flask partnerstack commands
    startup | assembly
        what is wrong with a setup; the parts that belong to one app
    signup | snippet | sandbox | doctor | dashboard | metrics | _db | celery | rq
        the decorator; what a page is given; a fake PartnerStack; is it set up right? the
        operator's page; Prometheus; the app's own database; its task queue
    _runs
        the decorated views of one request, and who is credited when it ends
    _lenient
        a conversion without what cannot be reported
    capture | tracking | verification | erasing
        request → g → cookie; conversion → ledger → nudge; is a customer known there? a customer
        is forgotten
    _known | _losses | _message | _presence | _cookie | _caches | _on_g
        what is known of a customer without being told; what is said of who is not recorded; is
        somebody here; the cookie that a click is kept in; what keeps shared caches
        and shared responses from a visitor's click; g.partnerstack where no hook of ours has run
    _visit | _origin
        what one request says of the visitor's clicks; was it sent by a page of ours?
    signals
        past-tense facts
    _state
        what belongs to one app
    dispatcher | engines | hooks
        what happens to what is due; who runs it, and when; the app's own say
    wire | ledger
        PartnerStack's API; the durable record
    conversion | masking
        a referred visitor became a customer; what a log line may say of one
    referral | settings | backoff
        a click; the configuration; how long to wait
    values
        what a key of the configuration takes
    errors | forks | frozen | _heard
        every error; what must not cross a fork; frozen data, made fast; a log that is not silenced
"""

from . import errors as errors
from . import signals as signals
from .capture import current_referral as current_referral
from .conversion import Conversion as Conversion
from .extension import PartnerStack as PartnerStack
from .ledger import Entry as Entry
from .ledger import Status as Status
from .referral import Referral as Referral
from .signup import set_customer as set_customer
from .signup import track_signup as track_signup
from .tracking import track_conversion as track_conversion
from .verification import is_verified as is_verified

__all__ = [
    "Conversion",
    "Entry",
    "PartnerStack",
    "Referral",
    "Status",
    "current_referral",
    "errors",
    "is_verified",
    "set_customer",
    "signals",
    "track_conversion",
    "track_signup",
]
