"""Who referred this visitor: the value, where it is read, and which of several counts."""

from .attribution import LONGEST_AGE as LONGEST_AGE
from .attribution import Attribution as Attribution
from .attribution import Clicks as Clicks
from .cookies import SCRIPT_PARTNER_KEY_COOKIES as SCRIPT_PARTNER_KEY_COOKIES
from .cookies import SCRIPT_XID_COOKIES as SCRIPT_XID_COOKIES
from .cookies import THEIR_PREFIXES as THEIR_PREFIXES
from .cookies import read_redirector_cookies as read_redirector_cookies
from .cookies import read_script_cookies as read_script_cookies
from .memory import Memory as Memory
from .mentions import Mentions as Mentions
from .mentions import looking_for as looking_for
from .query import carries_two as carries_two
from .query import decorate as decorate
from .query import read_query as read_query
from .value import CLOCK_SKEW as CLOCK_SKEW
from .value import EMPTY as EMPTY
from .value import Referral as Referral
from .value import check_clicked_at as check_clicked_at
from .value import check_referral as check_referral
from .value import decode_partner_key as decode_partner_key
from .value import encode_partner_key as encode_partner_key
from .value import valid_xid as valid_xid
