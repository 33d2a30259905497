"""Network addresses as they are counted and recognised: not the single one where somebody has many."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_OF_ONE = 64  # bits that one customer has to themself (RFC 6177): the rest is theirs to choose
IPV4_NEIGHBOURS = 24


def counted_address(host: str | None) -> str | None:
    """What guesses are counted by: an IPv4 address, or the /64 of an IPv6 one. None where it isn't known."""
    found = parsed(host)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_OF_ONE), strict=False))
    return str(found) if found else host or None


def home_network(host: str | None) -> str | None:
    """What a device is known by: the /24 of an IPv4 address or the /64 of an IPv6 one, as providers hand out others."""
    found = parsed(host)
    if isinstance(found, IPv4Address):
        return str(ip_network((found, IPV4_NEIGHBOURS), strict=False))
    return counted_address(host)


def parsed(host: str | None) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 within IPv6 (RFC 4291, section 2.5.5.2) is the former. None for what is neither."""
    try:
        found = ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
