"""The findings of ``flask partnerstack check``: what is wrong, why it matters, the way out."""

from .examine import examine as examine
from .finding import Finding as Finding
