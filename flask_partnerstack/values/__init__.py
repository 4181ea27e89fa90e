"""How the value of a key is read, as people write it: in Python, or as a text in the environment.

Each parser takes the key and what stands there, and returns the value, or raises a
``ConfigurationError`` that names the key and says what was expected.
"""

from .choices import HASH as HASH
from .choices import choice as choice
from .choices import optional_switch as optional_switch
from .choices import status_policy as status_policy
from .choices import switch as switch
from .choices import switch_or_hash as switch_or_hash
from .cookies import HOST_NAME as HOST_NAME
from .cookies import SECURE_NAMES as SECURE_NAMES
from .cookies import THEIR_COOKIES as THEIR_COOKIES
from .cookies import cookie_domain as cookie_domain
from .cookies import cookie_name as cookie_name
from .cookies import cookie_path as cookie_path
from .cookies import in_ascii as in_ascii
from .numbers import DEADLINE as DEADLINE
from .numbers import LEAST_LEASE as LEAST_LEASE
from .numbers import LONGEST_DURATION as LONGEST_DURATION
from .numbers import days as days
from .numbers import lease as lease
from .numbers import optional_days as optional_days
from .numbers import seconds as seconds
from .numbers import timeout as timeout
from .numbers import whole as whole
from .refusal import PREFIX as PREFIX
from .refusal import Parser as Parser
from .texts import api_key as api_key
from .texts import names as names
from .texts import optional_text as optional_text
from .texts import text as text
from .texts import token as token
from .urls import api_url as api_url
from .urls import capture_path as capture_path
from .urls import is_loopback as is_loopback
from .urls import ledger_url as ledger_url
from .urls import script_url as script_url
from .urls import url as url
