from __future__ import annotations

import pytest

from upgrader.model.backend_health import Health
from upgrader.model.haproxy_pages import Following, Place, Server, pages, parts_of, read_place, read_share

HEADER = "# pxname,svname,stot,wretr,wredis,status,bck,type,check_status,last_chk,addr,"
SERVER = 'blue,pod-1,7,0,0,UP,0,2,* L7OK,"a, ""b""",10.0.0.1:8080,'
BACKEND = "blue,BACKEND,9,1,2,UP,0,1,,,,"


def server(status: str, check: str = "L7OK", *, is_backup: bool = False) -> Server:
    return Server("pod-1", status, check, "10.0.0.1", is_backup)


@pytest.mark.parametrize(
    ("said", "health"),
    [
        pytest.param(server("UP"), Health.HEALTHY, id="up"),
        pytest.param(server("UP", ""), Health.HEALTHY, id="up by a server it tracks"),
        pytest.param(server("UP 1/3", "INI"), Health.UNPROVEN, id="not checked yet"),
        pytest.param(server("UP", "INI"), Health.UNPROVEN, id="its first check runs"),
        pytest.param(server("UP 2/3", "L7STS"), Health.UNPROVEN, id="on its way down"),
        pytest.param(server("UP", is_backup=True), Health.UNPROVEN, id="a backup gets no traffic"),
        pytest.param(server("DOWN", "L4CON"), Health.FAILING, id="down"),
        pytest.param(server("DOWN 1/2"), Health.FAILING, id="on its way up"),
        pytest.param(server("DOWN (agent)"), Health.FAILING, id="down by its agent"),
        pytest.param(server("MAINT"), Health.LEAVING, id="maintenance"),
        pytest.param(server("MAINT (resolution)"), Health.LEAVING, id="DNS knows no address"),
        pytest.param(server("MAINT (via blue/pod-0)"), Health.LEAVING, id="maintenance of another"),
        pytest.param(server("DRAIN"), Health.LEAVING, id="drain"),
        pytest.param(server("NOLB 1/3"), Health.LEAVING, id="answers 404 to leave"),
        pytest.param(server("no check", ""), Health.UNPROVEN, id="not checked"),
        pytest.param(server("MELTING"), Health.UNKNOWN, id="a word of a later version"),
    ],
)
def test_a_server_is_as_healthy_as_haproxys_words_say(said: Server, health: Health) -> None:
    assert said.health() is health


@pytest.mark.parametrize(("status", "health"), [("UP", Health.LEAVING), ("DOWN", Health.FAILING)])
def test_a_server_of_weight_0_gets_nothing_new_and_is_not_healthy(status: str, health: Health) -> None:
    """HAProxy calls it UP all the same."""
    page = f"# pxname,svname,status,type,check_status,weight\nb,s,{status},2,L7OK,0\nb,BACKEND,UP,1,,1\n"

    place = read_place(page, "b")

    assert place is not None
    assert [one.health() for one in place.servers] == [health]


def test_a_backend_is_read_with_its_servers() -> None:
    page = "\n".join([HEADER, SERVER, BACKEND])

    assert read_place(page, "blue") == Place(
        "blue", (Server("pod-1", "UP", "L7OK", "10.0.0.1", False, requests=7),), requests=9, retries=3
    )


@pytest.mark.parametrize(
    ("addr", "address"), [("[fd00::1]:8080", "fd00::1"), ("10.0.0.1:0", "10.0.0.1"), ("", ""), ("unix", "")]
)
def test_an_address_is_an_ip_without_its_port(addr: str, address: str) -> None:
    page = "\n".join([HEADER, SERVER.replace("10.0.0.1:8080", addr), BACKEND])
    place = read_place(page, "blue")

    assert place is not None
    assert place.servers[0].address == address


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("No such proxy.", id="no such backend"),
        pytest.param("\n".join([HEADER, SERVER]), id="cut off before the backend's own row"),
        pytest.param("\n".join([HEADER, "blue,pod-1,7", BACKEND]), id="half a row"),
        pytest.param("\n".join([HEADER, BACKEND.replace("blue", "green")]), id="another backend"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_page_without_the_whole_backend_is_none(page: str) -> None:
    assert read_place(page, "blue") is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"a\nb\n\nc\n\n", ("a\nb", "c")),
        (b"a\n\n\n\n", ("a", "")),
        (b"a\n\nc\n", None),
        (b"a\n\n", None),
        (b"a\n\nb\n\nc\n\n", None),
        (b"", None),
    ],
)
def test_answers_are_told_apart_by_their_empty_lines(body: bytes, found: tuple[str, ...] | None) -> None:
    assert pages(body, 2) == found


@pytest.mark.parametrize(
    ("page", "ratio", "why"),
    [
        ("0x55 green 100", 0.01, ""),
        ("0x55 green 0\n0x56 other 7", 0.0, ""),
        ("0x55 green 10000", 1.0, ""),
        ("0x55 green 5\n0x56 green 5", 0.0005, ""),
        ("0x55 green 5\n0x56 green 6", None, "several entries green: 5, 6"),
        ("0x55 other 5", None, "has no entry green"),
        ("", None, "has no entry green"),
        ("0x55 green 10001", None, "'10001', which is no number of 0-10000"),
        ("0x55 green 1%", None, "'1%'"),
        ("0x55 green", None, "''"),
        ("Unknown map identifier.", None, "Unknown map identifier."),
    ],
)
def test_the_share_is_what_the_map_says(page: str, ratio: float | None, why: str) -> None:
    found, error = read_share(page, "green")

    assert found == ratio
    assert why in error


@pytest.mark.parametrize(
    ("ratio", "parts"), [(0, 0), (1, 10_000), (0.001, 10), (0.25, 2500), (1e-9, 1), (0.99999, 9999)]
)
def test_only_nothing_and_all_are_written_as_nothing_and_all(ratio: float, parts: int) -> None:
    assert parts_of(ratio) == parts


class Looks:
    """Two backends whose counters grow by what each look is told; a second passes before each."""

    def __init__(self, ratio: float | None, delay: float = 0.0) -> None:
        self.following, self.ratio, self.now = Following(delay_seconds=delay), ratio, 0.0
        self.blue, self.green = 1000, 1000
        self.look()

    def look(self, blue: int = 0, green: int = 0) -> str:
        self.now += 1
        self.blue, self.green = self.blue + blue, self.green + green
        places = [Place(name, (), count, 0) for name, count in (("b", self.blue), ("g", self.green))]
        return self.following.look(self.ratio, *places, now=self.now)


@pytest.mark.parametrize(
    ("ratio", "blue", "green", "is_told"),
    [
        pytest.param(0.01, 9900, 100, False, id="as set"),
        pytest.param(0.01, 9860, 140, False, id="chance"),
        pytest.param(0.01, 9000, 1000, True, id="ten times as much"),
        pytest.param(0.01, 10_000, 0, True, id="nothing, as if it had not been set"),
        pytest.param(0.01, 200, 0, False, id="nothing of too few"),
        pytest.param(0.0, 9950, 50, False, id="a few sent to green by a header"),
        pytest.param(0.0, 9000, 1000, True, id="green though it has no share"),
        pytest.param(1.0, 100, 9900, True, id="blue though green has all"),
        pytest.param(1.0, 0, 9900, False, id="all"),
        pytest.param(None, 0, 9900, False, id="not known"),
    ],
)
def test_traffic_that_is_not_parted_as_set_is_told(
    ratio: float | None, blue: int, green: int, is_told: bool
) -> None:
    said = Looks(ratio).look(blue, green)

    assert bool(said) is is_told


def test_traffic_is_counted_from_a_change_on_and_after_its_delay() -> None:
    looks = Looks(0.0, delay=3)
    looks.look(blue=5000)

    looks.ratio = 1.0
    early = [looks.look(blue=5000) for _ in range(4)]
    late = looks.look(blue=1000)

    assert early == ["", "", "", ""]
    assert "g got 0 of 1000 requests where its share is set to 100.00%" in late


def test_counters_that_begin_anew_are_no_difference() -> None:
    looks = Looks(0.5)
    looks.look(blue=500, green=500)

    assert looks.look(blue=-1400, green=-1400) == ""
    assert looks.look(blue=500, green=500) == ""
