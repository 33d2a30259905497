"""What addresses are counted by, and what networks devices are known by."""

import pytest

from pamps.addresses import counted_address, home_network

FOUND = {
    "192.0.2.77": ("192.0.2.77", "192.0.2.0/24"),
    "::ffff:192.0.2.77": ("192.0.2.77", "192.0.2.0/24"),
    "2001:db8:1:2:3:4:5:6": ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
    "2001:DB8:1:2::": ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
    "fe80::1%eth0": ("fe80::/64", "fe80::/64"),
    "a-name": ("a-name", "a-name"),
    "": (None, None),
    None: (None, None),
}


@pytest.mark.parametrize("host", FOUND)
def test_an_address_is_one_of_ipv4_or_a_64_of_ipv6_and_a_home_is_a_24_or_a_64(host: str | None) -> None:
    assert (counted_address(host), home_network(host)) == FOUND[host]
