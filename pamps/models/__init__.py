"""The tables, and the shapes of requests and answers: a file for each noun."""

from pamps.models.mail import Link
from pamps.models.post import Like, Post
from pamps.models.session import Session
from pamps.models.user import Social, User

__all__ = ["Like", "Link", "Post", "Session", "Social", "User"]
