from pathlib import Path

import pytest

from instrument.patch import Patch, PatchError, Pedal
from instrument.patch_file import parse_patch, read_patch, route_names
from instrument.projects import patch_names, patches_folder

HEAD = """name = "Test"

[[output]]
name = "posture"
classes = ["rest", "up"]

[[output]]
name = "lift"
kind = "continuous"
"""
FILE = Path("patch.toml")


def parse(text: str) -> Patch:
    return parse_patch(text, FILE)


def complaint(text: str) -> str:
    with pytest.raises(PatchError) as error:
        parse(text)
    return str(error.value)


@pytest.mark.parametrize("name", patch_names())
def test_every_ready_made_patch_is_valid(name: str) -> None:
    assert read_patch(patches_folder() / name / "patch.toml").outputs


def test_defaults_make_a_short_patch_playable() -> None:
    patch = parse(HEAD)
    assert patch.destinations["out"].osc == ("127.0.0.1", 12000)
    assert patch.output("posture").features == ("positions", "angles")
    assert patch.listen.source == "auto"
    assert patch.is_wekinator


def test_a_numbers_patch_learns_from_numbers_by_default() -> None:
    patch = parse('[listen]\nsource = "osc"\n[[output]]\nname = "a"\n')
    assert patch.output("a").features == ("numbers",)


def test_channels_count_from_one_in_the_file_and_from_zero_inside() -> None:
    route = parse(
        HEAD + '[destination.m]\nmidi = "virtual"\n[[route]]\nfrom = "lift"\nto = "m"\nmidi = "cc"\nchannel = 16\n'
    ).routes[0]
    assert route.channel == 15


def test_a_route_may_name_a_class_with_a_space() -> None:
    text = '[[output]]\nname = "p"\nclasses = ["arms up"]\n[[route]]\nfrom = "p.arms up"\nosc = "/up"\n'
    assert parse(text).routes[0].class_name == "arms up"


def test_a_syntax_error_names_file_and_line() -> None:
    message = complaint(HEAD + "[listen\n")
    assert message.startswith("patch.toml: not valid TOML")
    assert "line 10" in message


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("[listen]\nsorce = 'demo'\n", "patch.toml, line 11: listen.sorce: unknown 'sorce'"),
        ("[listen]\nsorce = 'demo'\n", "did you mean 'source'?"),
        ("[listen]\ntrack = ['face']\n", "line 11: listen.track: 'face'; allowed: any of pose, hands"),
        ("[smoothing]\nbeta = 'fast'\n", "line 11: smoothing.beta: 'fast'; allowed: a number 0..1000"),
        ("[smoothing]\nbeta = true\n", "smoothing.beta: True; allowed: a number"),
        ("[smoothing]\nbeta = nan\n", "smoothing.beta: nan; allowed: a number"),
        ("[[output]]\nname = 'lift'\n", "line 11: output.3.name: output 'lift' is there twice"),
        ("[[output]]\nname = 'a b'\n", "line 11: output.3.name: 'a b'; allowed: letters"),
        ("[[output]]\nname = 'x'\nfeatures = ['numbers']\n", "line 12: output.3.features: 'numbers'; allowed: any of"),
        ("[[output]]\nname = 'x'\nrange = [1, 0]\n", "line 12: output.3.range: 1..0; allowed: low below high"),
        ("[[output]]\nname = 'x'\nbits = 5\n", "line 12: output.3.bits: 5; allowed: 8 or 4"),
        ("[[output]]\nname = 'x'\nreject = 0.7\n", "line 12: output.3.reject: 0.7; allowed: true, false, or a share"),
        (
            "[[route]]\nfrom = 'lift'\nosc = '/a'\nvalue = 'familiarity'\n",
            "line 13: route.1.value: the familiarity of 'lift'; allowed: that of a class output",
        ),
        (
            "[[route]]\nfrom = 'lift'\nosc = '/a'\nvalue = 'disagreement'\n",
            "the disagreement of 'lift'; allowed: that of an [[output]] with disagreement = true",
        ),
        ("[[route]]\nfrom = 'lft'\nosc = '/a'\n", "line 11: route.1.from: output 'lft'; allowed: one of posture, lift"),
        ("[[route]]\nfrom = 'posture.down'\nosc = '/a'\n", "class 'down'; allowed: one of rest, up"),
        ("[[route]]\nfrom = 'lift'\nosc = 'a'\n", "line 12: route.1.osc: address 'a'; allowed: an OSC address"),
        ("[[route]]\nfrom = 'lift'\nmidi = 'cc'\n", "no MIDI destination"),
        ("[[route]]\nfrom = 'lift'\n", "osc and midi both or neither"),
        (
            "[[route]]\nfrom = 'lift'\nosc = '/a'\nrange = [5, 5]\n",
            "line 13: route.1.range: [5, 5]; allowed: two different",
        ),
        ("[[route]]\nfrom = 'lift'\nosc = '/a'\nwhen_lost = {then = 'fade'}\n", "route.1.when_lost.then: 'fade'"),
        ("[destination.d]\nosc = 'localhost'\n", "line 11: destination.d.osc: 'localhost' is not HOST:PORT"),
        ("[destination.d]\n", "line 10: destination.d.osc: osc and midi both or neither"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_what_is_allowed(addition: str, expected: str) -> None:
    assert expected in complaint(HEAD + addition)


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.05), ("reject = true", 0.05), ("reject = false", 0.0), ("reject = 0.1", 0.1)]
)
def test_how_much_is_given_up_to_reject_strangers(text: str, share: float) -> None:
    assert parse(f"[[output]]\nname = 'x'\n{text}\n").outputs[0].reject == share


def test_numbers_over_osc_are_rejected_only_when_asked() -> None:
    assert parse("[listen]\nsource = 'osc'\n[[output]]\nname = 'x'\n").outputs[0].reject == 0.0


def test_none_of_the_classes_can_be_routed_where_it_can_happen() -> None:
    text = "[[output]]\nname = 'x'\nclasses = ['a']\nreject = {}\n[[route]]\nfrom = 'x.none'\nosc = '/a'\n"
    assert parse(text.format("true")).routes[0].class_name == "none"
    with pytest.raises(PatchError, match="class 'none'; allowed: one of a"):
        parse(text.format("false"))


def test_a_missing_patch_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="instrument new"):
        read_patch(tmp_path / "patch.toml")


def test_an_unknown_output_is_answered_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="posture, lift"):
        parse(HEAD).output("nose")


@pytest.mark.parametrize("control", ['osc = "/chord"', 'midi = "program"'])
def test_a_route_may_go_to_the_page_without_naming_it_as_a_destination(control: str) -> None:
    route = parse(f'{HEAD}[[route]]\nfrom = "posture"\nto = "page"\n{control}\n').routes[0]
    assert route.destination == "page"


def test_a_midi_route_without_a_midi_destination_says_what_to_do() -> None:
    assert 'to = "page"' in complaint(f'{HEAD}[[route]]\nfrom = "lift"\nmidi = "cc"\n')


def test_routes_are_called_by_their_name_their_address_or_their_midi_message() -> None:
    routes = [
        {"osc": "/lift"},
        {"osc": "/lift"},
        {"osc": "/lift 2", "name": "drum"},
        {"midi": "cc", "number": 74},
        {"midi": "note", "channel": 2},
        {"midi": "program"},
    ]
    assert route_names(routes) == ["/lift", "/lift 2", "drum", "cc 74", "note 60 ch 2", "program"]


PEDAL = """
[[output]]
name = "posture"
classes = ["rest", "up"]
[[pedal]]
"""


def pedal(text: str) -> Pedal:
    return parse_patch(PEDAL + text, Path("patch.toml")).pedals[0]


def test_a_pedal_that_records_ends_the_take_when_it_comes_up() -> None:
    held = pedal('press = "record posture up"\nmidi = "cc"\nnumber = 64\nchannel = 16\nport = "nano"')
    assert (held.press, held.release, held.name) == ("record posture up", "record stop", "record posture up")
    assert (held.midi, held.number, held.channel, held.port) == ("cc", 64, 15, "nano")


def test_a_pedal_may_wait_to_be_learned_and_do_nothing_when_it_comes_up() -> None:
    tapped = pedal('name = "again"\npress = "scene next"')
    assert (tapped.name, tapped.release, tapped.midi, tapped.channel) == ("again", "", "", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no 'press'"),
        ('press = "recrd posture up"', "no such command: recrd posture up"),
        ('press = "record posture"', "1 argument came"),
        ('press = "undo"\nrelease = "what"', r"pedal\.1\.release: 'what'"),
        ('press = "quit"', "a command of the performer's"),
        ('press = "project open /"', "a command of the performer's"),
        ('press = "remote /instrument/quit"', "a command of the performer's"),
        ('press = "/wekinator/control/train"', "a command of the performer's"),
        ('press = "undo"\nmidi = "knob"', "one of cc, note, program"),
        ('press = "undo"\nnumber = 128', "a whole number 0..127"),
        ('press = "undo"\nchannel = 0', "a whole number 1..16"),
        ('press = "undo"\npedal = 1', "unknown 'pedal'"),
    ],
)
def test_a_pedal_that_would_do_nothing_is_refused_with_what_is_allowed(text: str, reason: str) -> None:
    with pytest.raises(PatchError, match=reason):
        pedal(text)


def test_a_file_with_a_byte_order_mark_is_read_as_without(tmp_path: Path) -> None:
    file = tmp_path / "patch.toml"
    file.write_bytes(b"\xef\xbb\xbfname = 'Marked'\r\n")
    assert read_patch(file).name == "Marked"
