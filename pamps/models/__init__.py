"""The tables, and the shapes of requests and answers: a file for each noun."""

from pamps.models.attempt import Attempt
from pamps.models.device import Device
from pamps.models.idempotency import IdempotencyKey
from pamps.models.mail import Link
from pamps.models.post import Like, Post
from pamps.models.session import Session
from pamps.models.tally import Tally
from pamps.models.two_factor import TwoFactor
from pamps.models.user import Social, User

__all__ = [
    "Attempt",
    "Device",
    "IdempotencyKey",
    "Like",
    "Link",
    "Post",
    "Session",
    "Social",
    "Tally",
    "TwoFactor",
    "User",
]
