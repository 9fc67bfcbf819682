import pytest

from app.engine.webhooks.addresses import is_private_host, is_public


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # where clouds hand out credentials
        "100.64.0.1",
        "0.0.0.0",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "64:ff9b::a00:1",  # NAT64 of 10.0.0.1
    ],
)
def test_other_addresses_are_not(address):
    assert not is_public(address)
    assert is_private_host(address)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "api.localhost"])
def test_localhost_is_private_without_asking(host):
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host",
    ["127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "10.1", "127.0.0.1.", "0"],
)
def test_addresses_written_otherwise_are_private_too(host):
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host", ["example.org", "1.1.1.1", "localhost.example.org", "16843009", "1.257", "9.9.9"]
)
def test_names_are_looked_up_later(host):
    assert not is_private_host(host)
