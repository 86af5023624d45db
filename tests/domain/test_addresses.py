import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import Address, AddressRules, is_public
from domain.errors import AddressRefused

RULES = AddressRules()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://files.example.com/a/b.png?x=1&y=2", Address("https", "files.example.com", 443, "/a/b.png?x=1&y=2")),
        ("HTTPS://Files.Example.COM:443", Address("https", "files.example.com", 443, "/")),
        ("https://xn--bcher-kva.example/", Address("https", "xn--bcher-kva.example", 443, "/")),
        ("https://93.184.216.34/x", Address("https", "93.184.216.34", 443, "/x")),
        ("https://[2606:2800:220:1::1]/x", Address("https", "2606:2800:220:1::1", 443, "/x")),
        ("https://a_b.example.com?only=query", Address("https", "a_b.example.com", 443, "/?only=query")),
    ],
)
def test_a_public_https_url_is_taken_apart(url, address):
    assert RULES.parse(url) == address


REFUSED = {
    "plain http": "http://files.example.com/",
    "another scheme": "ftp://files.example.com/",
    "a file": "file:/etc/passwd",
    "no scheme": "//files.example.com/",
    "nothing": "",
    "another port": "https://files.example.com:8443/",
    "the port of http": "https://files.example.com:80/",
    "a port out of range": "https://files.example.com:99999/",
    "a port that is none": "https://files.example.com:443x/",
    "credentials": "https://user:pass@files.example.com/",
    "a bare user": "https://user@files.example.com/",
    "credentials that look like a host": "https://files.example.com@127.0.0.1/",
    "a fragment": "https://files.example.com/#x",
    "an empty fragment": "https://files.example.com/#",
    "a backslash": "https://files.example.com\\@127.0.0.1/",
    "a blank": "https://files.example.com/a b",
    "a line feed": "https://files.example.com/\r\nHost: x",
    "a tab": "https://files.example\t.com/",
    "a leading blank": " https://files.example.com/",
    "NUL": "https://files.example.com/\0",
    "a host outside ASCII": "https://bücher.example/",
    "full-width digits": "https://\uff11\uff12\uff17.0.0.1/",
    "an ideographic dot": "https://127\u30020.0.1/",
    "a percent-encoded host": "https://%31%32%37.0.0.1/",
    "too long": "https://files.example.com/" + "a" * 2048,
    "no host": "https:///x",
    "an empty label": "https://files..example.com/",
    "a trailing dot": "https://files.example.com./",
    "a label that ends in a hyphen": "https://files-.example.com/",
    "a label that is too long": f"https://{'a' * 64}.example.com/",
    "a name that is too long": f"https://{'a.' * 130}com/",
    "a single word": "https://localhost/",
    "loopback": "https://127.0.0.1/",
    "loopback elsewhere": "https://127.8.8.8/",
    "this network": "https://0.0.0.0/",
    "private 10": "https://10.0.0.1/",
    "private 172": "https://172.31.255.255/",
    "private 192": "https://192.168.1.1/",
    "carrier NAT": "https://100.64.0.1/",
    "the metadata service": "https://169.254.169.254/latest/meta-data/",
    "a cloud's host service": "https://168.63.129.16/",
    "benchmarks": "https://198.18.0.1/",
    "documentation": "https://203.0.113.9/",
    "6to4 relay": "https://192.88.99.1/",
    "multicast": "https://224.0.0.1/",
    "reserved": "https://240.0.0.1/",
    "broadcast": "https://255.255.255.255/",
    "decimal": "https://2130706433/",
    "decimal of a public address": "https://1572395042/",
    "octal": "https://0177.0.0.1/",
    "hex": "https://0x7f000001/",
    "hex parts": "https://0x7f.0x0.0x0.0x1/",
    "a hex last part": "https://files.example.0x1/",
    "short form": "https://127.1/",
    "leading zeros": "https://127.000.000.001/",
    "five parts": "https://1.2.3.4.5/",
    "IPv6 loopback": "https://[::1]/",
    "IPv6 unspecified": "https://[::]/",
    "IPv4-mapped": "https://[::ffff:127.0.0.1]/",
    "IPv4-mapped in hex": "https://[::ffff:7f00:1]/",
    "IPv4-mapped public": "https://[::ffff:93.184.216.34]/",
    "IPv4-compatible": "https://[::127.0.0.1]/",
    "NAT64": "https://[64:ff9b::7f00:1]/",
    "NAT64 of a public address": "https://[64:ff9b::5db8:d822]/",
    "local NAT64": "https://[64:ff9b:1::7f00:1]/",
    "6to4": "https://[2002:7f00:1::]/",
    "Teredo": "https://[2001:0:53aa:64c::1]/",
    "unique local": "https://[fd00::1]/",
    "link-local": "https://[fe80::1]/",
    "a zone": "https://[fe80::1%25eth0]/",
    "a zone on a public address": "https://[2606:2800:220:1::1%25eth0]/",
    "site-local": "https://[fec0::1]/",
    "IPv6 multicast": "https://[ff02::1]/",
    "IPv6 documentation": "https://[2001:db8::1]/",
    "new IPv6 documentation": "https://[3fff::1]/",
    "no slashes": "https:127.0.0.1",
    "one slash": "https:/127.0.0.1/",
    "three slashes": "https:///127.0.0.1/",
    "backslashes for slashes": "https:\\\\127.0.0.1\\",
    "a backslash before the path": "https://127.0.0.1\\.example.com/",
    "a host and port as credentials": "https://files.example.com:443@127.0.0.1/",
    "credentials with an escaped slash": "https://files.example.com%2f@127.0.0.1/",
    "credentials with an escaped NUL": "https://files.example.com%00@127.0.0.1/",
    "an at sign in the path of a user": "https://files.example.com;x@127.0.0.1/",
    "an address before a name": "https://[::1]@files.example.com/",
    "an address with a tail": "https://[::1].example.com/",
    "an address with a tail of digits": "https://[::1]127.0.0.1/",
    "an escaped dot": "https://127.0.0.1%2eexample.com/",
    "a question mark for a host": "https://?127.0.0.1/",
    "two ports": "https://files.example.com:443:80/",
    "a negative port": "https://files.example.com:-443/",
    "a port in other digits": "https://files.example.com:\uff14\uff14\uff13/",
    "circled digits": "https://\u2460\u2461\u2466.0.0.1/",
    "a full-width letter": "https://\uff4cocalhost/",
    "a soft hyphen": "https://local\u00adhost.example.com/",
    "a zero-width blank": "https://files\u200b.example.com/",
    "a right-to-left mark": "https://files.example.com/\u202egnp.a",
    "a lone surrogate": "https://files.example.com/\ud800",
    "a full stop of another script": "https://files\uff0eexample\uff0ecom/",
    "loopback with a trailing dot": "https://127.0.0.1./",
    "a single word with a trailing dot": "https://localhost./",
    "a single word in capitals": "https://LOCALHOST/",
    "a name that metadata services have": "https://metadata/",
    "zero": "https://0/",
    "hex in capitals": "https://0X7F000001/",
    "octal without dots": "https://017700000001/",
    "a mix of notations": "https://0x7f.1/",
    "three parts": "https://127.0.1/",
    "a part that is too large": "https://127.0.0.256/",
    "a metadata service behind carrier NAT": "https://100.100.100.200/",
    "a metadata service of a cloud": "https://192.0.0.192/",
    "a metadata service by IPv6": "https://[fd00:ec2::254]/",
    "the metadata service through NAT64": "https://[64:ff9b::a9fe:a9fe]/",
    "the metadata service through 6to4": "https://[2002:a9fe:a9fe::]/",
    "the metadata service as IPv4-mapped": "https://[::FFFF:169.254.169.254]/",
    "IPv4-translated": "https://[::ffff:0:7f00:1]/",
    "IPv6 in full": "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "ORCHID": "https://[2001:10::1]/",
    "segment routing": "https://[5f00::1]/",
    "discard": "https://[100::1]/",
    "no bracket": "https://[::1/",
    "not IPv6 in brackets": "https://[127.0.0.1]/",
    "IPv6 without brackets": "https://2606:2800:220:1::1/",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_what_could_lead_inside_is_refused(url):
    with pytest.raises(AddressRefused):
        RULES.parse(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://127.0.0.1:8090/files/x", "127.0.0.1:8090"),
        ("https://127.0.0.1:8090/files/x", "127.0.0.1:8090"),
        ("http://localhost:80/", "localhost"),
        ("http://[::1]:8090/", "[::1]:8090"),
    ],
)
def test_a_named_exception_may_be_private_and_without_tls(url, authority):
    rules = AddressRules(frozenset({"127.0.0.1:8090", "localhost:80", "[::1]:8090"}))

    assert rules.parse(url).authority == authority


@pytest.mark.parametrize("url", ["http://127.0.0.1:8091/", "http://127.0.0.2:8090/", "http://u@127.0.0.1:8090/"])
def test_an_exception_is_for_exactly_one_host_and_port(url):
    with pytest.raises(AddressRefused):
        AddressRules(frozenset({"127.0.0.1:8090"})).parse(url)


def test_where_everything_private_is_allowed_the_form_still_counts():
    rules = AddressRules(all_private=True)

    assert rules.parse("http://localhost:9000/hook").port == 9000
    with pytest.raises(AddressRefused):
        rules.parse("http://user@localhost:9000/hook")


@pytest.mark.parametrize("text", ["93.184.216.34", "2606:2800:220:1::1", "1.1.1.1"])
def test_public_addresses_are_public(text):
    assert is_public(text)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "2606:2800:220:1::1%1", "01.1.1.1", "a name", "", "::ffff:1.1.1.1"])
def test_what_is_no_plain_public_address_is_not(text):
    assert not is_public(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[\[\]0-9a-fx:.%@]{0,30}(:[0-9]{0,6})?/?.{0,5}"))
def test_any_text_is_parsed_or_refused(url):
    try:
        address = RULES.parse(url)
    except AddressRefused:
        return
    assert (address.scheme, address.port) == ("https", 443)
