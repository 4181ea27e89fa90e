"""What a page is given: PartnerStackJS's loader, and a script for pages that a cache serves."""

from .endpoint import add_endpoint as add_endpoint
from .markup import partnerstack_capture as partnerstack_capture
from .markup import partnerstack_snippet as partnerstack_snippet
