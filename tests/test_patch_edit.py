import tomllib
from pathlib import Path

import pytest

from instrument.patch import PatchError
from instrument.patch_edit import LastRead, TomlValue, add_table, remove_value, save_scene, set_values
from instrument.patch_file import parse_patch, route_names
from instrument.projects import patches_folder

TEXT = """# my patch
name = "Test"

[smoothing]
beta = 1.0        # quick

[[output]]
name = "lift"
kind = "continuous"

[[route]]
from = "lift"     # how high
osc = "/lift"
range = [0, 10]
"""


def set_value(text: str, key: str, value: TomlValue) -> str:
    return set_values(text, [(key, value)])


def test_a_value_changes_and_comments_stay() -> None:
    edited = set_value(TEXT, "smoothing.beta", 2.5)
    assert edited == TEXT.replace("beta = 1.0 ", "beta = 2.5 ")


def test_what_is_added_stands_apart_from_what_is_before_it() -> None:
    added = add_table(TEXT, "route", '{"from": "lift", "osc": "/second"}')
    assert added == TEXT + '\n[[route]]\nfrom = "lift"\nosc = "/second"\n'
    assert "\n\n[[scene]]\n" in save_scene(added, "calm", [], [])


def test_one_number_of_a_range_that_was_never_set_says_how_to_set_both() -> None:
    with pytest.raises(ValueError, match=r"no 'range'; set it whole first: route\.1\.range '\[0, 1\]'"):
        set_value(TEXT.replace("range = [0, 10]\n", ""), "route.1.range.1", 0.3)


def test_a_value_of_a_route_is_addressed_by_its_number() -> None:
    assert set_value(TEXT, "route.1.range.2", 20) == TEXT.replace("[0, 10]", "[0, 20]")


def test_a_table_that_was_not_there_is_made() -> None:
    patch = parse_patch(set_value(TEXT, "features.body", "upper"), Path("p"))
    assert patch.features.body == "upper"


def test_the_words_true_and_false_become_booleans() -> None:
    patch = parse_patch(set_value(TEXT, "features.mirror", "true"), Path("p"))
    assert patch.features.mirror is True


def test_an_added_route_comes_last() -> None:
    patch = parse_patch(add_table(TEXT, "route", '{"from": "lift", "osc": "/more"}'), Path("p"))
    assert [route.osc for route in patch.routes] == ["/lift", "/more"]


def test_an_added_destination_can_be_routed_to() -> None:
    edited = add_table(TEXT, "destination.far", '{"osc": "10.0.0.2:9000"}')
    patch = parse_patch(set_value(edited, "route.1.to", "far"), Path("p"))
    assert patch.routes[0].destination == "far"
    assert patch.destinations["far"].osc == ("10.0.0.2", 9000)


def test_a_removed_route_is_gone_and_the_rest_stays() -> None:
    edited = remove_value(TEXT, "route.1")
    assert parse_patch(edited, Path("p")).routes == ()
    assert "# quick" in edited


@pytest.mark.parametrize("key", ["route.2.osc", "route.x.osc", "output", "smoothing", "smoothing.beta.x"])
def test_a_key_that_leads_nowhere_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=key.split(".")[0]):
        set_value(TEXT, key, 1)


@pytest.mark.parametrize("name", ["route", "destination.d"])
def test_only_json_objects_are_added(name: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        add_table(TEXT, name, "[1]")


def test_no_other_table_is_added() -> None:
    with pytest.raises(ValueError, match="allowed: route, output"):
        add_table(TEXT, "smoothing", "{}")


def test_removing_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="does not have it"):
        remove_value(TEXT, "smoothing.alpha")


COMMENTED = """# my patch
name = "Test"

# What is learned ---

[[output]]
name = "lift"
kind = "continuous"

# Where it goes ---

[destination.synth]
midi = "virtual"  # ours

# for the lights
[[route]]
from = "lift"
osc = "/lift"

# Sound ---

# the filter
[[route]]
from = "lift"
osc = "/filter"
# the end
"""


@pytest.mark.parametrize(
    ("key", "value", "after"),
    [
        ("output.1.range", "[0, 2]", 'kind = "continuous"\n'),
        ("route.1.curve", 0.5, 'osc = "/lift"\n'),
        ("route.2.curve", 0.5, 'osc = "/filter"\n# the end\n'),
    ],
)
def test_a_new_value_stands_in_its_own_table(key: str, value: TomlValue, after: str) -> None:
    line = f"{key.rpartition('.')[2]} = {value}\n"
    assert set_value(COMMENTED, key, value) == COMMENTED.replace(after, after + line)


@pytest.mark.parametrize(
    ("head", "added"),
    [
        ('name = "Test"\n', 'name = "Test"\nabout = "x"\n'),
        ('name = "Test"\n\n', 'name = "Test"\nabout = "x"\n\n'),
        ('# my patch\nname = "Test"\n\n# Outputs\n\n', '# my patch\nname = "Test"\nabout = "x"\n\n# Outputs\n\n'),
        ("# my patch\n\n", '# my patch\nabout = "x"\n\n'),
        ("", 'about = "x"\n'),
    ],
)
def test_a_new_value_of_the_whole_patch_stands_above_the_comment_of_the_first_table(head: str, added: str) -> None:
    table = '# the lift\n[[output]]\nname = "lift"\n'
    edited = set_value(head + table, "about", "x")
    assert edited == added + table
    assert remove_value(edited, "about") == head + table


def test_the_first_table_takes_its_comment_along_and_leaves_headings() -> None:
    text = (
        'name = "Test"\n\n# Settings ---\n\n# quick\n[smoothing]\nbeta = 1.0\n\n# the lift\n[[output]]\nname = "lift"\n'
    )
    assert remove_value(text, "smoothing") == text.replace("\n# quick\n[smoothing]\nbeta = 1.0\n", "")


def test_an_added_table_stands_before_the_heading_of_what_follows() -> None:
    table = '\n[[output]]\nname = "side"\n'
    expected = COMMENTED.replace('kind = "continuous"\n', 'kind = "continuous"\n' + table)
    assert add_table(COMMENTED, "output", '{"name": "side"}') == expected


def test_a_removed_table_takes_its_comment_along_and_leaves_headings_and_the_comments_of_others() -> None:
    lights = '# for the lights\n[[route]]\nfrom = "lift"\nosc = "/lift"\n\n'
    sound = '\n# the filter\n[[route]]\nfrom = "lift"\nosc = "/filter"\n# the end\n'
    assert remove_value(COMMENTED, "route.1") == COMMENTED.replace(lights, "")
    assert remove_value(COMMENTED, "route.2") == COMMENTED.replace(sound, "")
    synth = '\n[destination.synth]\nmidi = "virtual"  # ours\n'
    assert remove_value(COMMENTED, "destination.synth") == COMMENTED.replace(synth, "")


MIXED = """name = "Test"

# the lift
[[output]]
name = "lift"

# goes here
[[route]]
osc = "/lift"

# goes there
[destination.synth]
midi = "virtual"

# Second ---

# the side
[[output]]
name = "side"

# goes here too
[[route]]
osc = "/side"
"""


@pytest.mark.parametrize("key", ["output.1", "output.2", "route.1", "route.2", "destination.synth"])
def test_every_table_keeps_its_comment_where_outputs_and_routes_take_turns(key: str) -> None:
    comments = {
        "output.1": '# the lift\n[[output]]\nname = "lift"\n',
        "output.2": '# the side\n[[output]]\nname = "side"\n',
        "route.1": '# goes here\n[[route]]\nosc = "/lift"\n',
        "route.2": '# goes here too\n[[route]]\nosc = "/side"\n',
        "destination.synth": '# goes there\n[destination.synth]\nmidi = "virtual"\n',
    }
    edited, removed = set_value(MIXED, f"{key}.to", "x"), remove_value(MIXED, key)
    for one, text in comments.items():
        assert text + 'to = "x"\n' * (one == key) in edited
        assert (text in removed) == (one != key)
    assert "# Second ---\n" in removed
    assert removed.count("#") == MIXED.count("#") - 1


LOST = """[[route]]
from = "lift"
osc = "/lift"

# when nobody is there
[route.when_lost]
hold_s = 2.0

# the end
[smoothing]
beta = 1.0
"""


def test_a_new_value_stands_above_the_comment_of_a_table_within_its_own() -> None:
    assert set_value(LOST, "route.1.curve", 0.5) == LOST.replace('"/lift"\n', '"/lift"\ncurve = 0.5\n')
    within = LOST.replace("hold_s = 2.0\n", 'hold_s = 2.0\nthen = "hold"\n')
    assert set_value(LOST, "route.1.when_lost.then", "hold") == within


def test_a_table_within_another_takes_its_comment_along() -> None:
    lost = "\n# when nobody is there\n[route.when_lost]\nhold_s = 2.0\n"
    assert remove_value(LOST, "route.1.when_lost") == LOST.replace(lost, "")


@pytest.mark.parametrize("empty", ["  ", "\t"])
def test_a_heading_stays_where_the_empty_line_below_it_holds_blanks(empty: str) -> None:
    text = COMMENTED.replace("# Sound ---\n", f"# Sound ---\n{empty}")
    sound = f'{empty}\n# the filter\n[[route]]\nfrom = "lift"\nosc = "/filter"\n# the end\n'
    assert remove_value(text, "route.2") == text.replace(sound, "")


def test_a_drag_leaves_comments_where_they_are() -> None:
    last, text = LastRead(), COMMENTED
    for value in (0.5, 0.6, 0.7):
        text = set_values(text, [("route.1.curve", value)], last)
    assert text == COMMENTED.replace('osc = "/lift"\n', 'osc = "/lift"\ncurve = 0.7\n')


def test_routes_are_added_again_where_all_were_removed() -> None:
    empty = remove_value(TEXT, "route.1")
    assert parse_patch(empty, Path("p")).routes == ()
    assert add_table(empty, "route", '{"from": "lift", "osc": "/again"}').endswith(
        '\n\n[[route]]\nfrom = "lift"\nosc = "/again"\n'
    )


@pytest.mark.parametrize(
    "name", sorted(path.name for path in patches_folder().iterdir() if (path / "patch.toml").exists())
)
def test_what_is_added_to_a_ready_made_patch_and_removed_leaves_it_as_it_was(name: str) -> None:
    text = (patches_folder() / name / "patch.toml").read_text(encoding="utf-8")
    count = {table: len(tomllib.loads(text).get(table, ())) for table in ("output", "route")}
    for table, number in count.items():
        added = add_table(text, table, '{"name": "more", "osc": "/more"}')
        assert remove_value(added, f"{table}.{number + 1}") == text


@pytest.mark.parametrize("value", ["true", "[x", "[1]"])
def test_a_text_is_a_text_though_it_looks_like_something_else(value: str) -> None:
    assert tomllib.loads(set_value(TEXT, "route.1.name", value))["route"][0]["name"] == value
    text = TEXT.replace("[[route]]", 'classes = ["up", "down"]\n\n[[route]]')
    assert tomllib.loads(set_value(text, "output.1.classes.2", value))["output"][0]["classes"] == ["up", value]
    assert tomllib.loads(set_value(SCENES, "scene.1.routes.2.route", value))["scene"][0]["routes"][1]["route"] == value


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (1.5, "1.5"), (2.0, "2")])
def test_a_number_is_a_text_where_one_is_wanted(value: float, text: str) -> None:
    assert tomllib.loads(set_value(SCENES, "scene.1.key", value))["scene"][0]["key"] == text


def test_what_is_no_choice_is_refused_by_name() -> None:
    with pytest.raises(PatchError, match=r"features\.body: '\[x'; allowed: one of full, upper"):
        parse_patch(set_value(TEXT, "features.body", "[x"), Path("p"))


SCENES = (
    TEXT
    + """
[[route]]
from = "lift"
osc = "/more"

[[scene]]
name = "high"     # for the end
routes = [
    { route = "/lift", range = [5, 9] },
    { route = "/more", muted = true },  # too loud here
]
"""
)


def test_an_output_is_removed_with_its_routes_and_what_scenes_say_of_it() -> None:
    text = SCENES.replace(
        "[[route]]",
        '[[output]]\nname = "side"\nclasses = ["left"]\n\n[[route]]\nfrom = "side.left"\nosc = "/left"\n\n[[route]]',
        1,
    ).replace('name = "high" ', 'from = "lift.x"\noutputs = ["lift", "side"]\nname = "high" ')
    without = parse_patch(remove_value(text, "output.1"), Path("p"))
    assert [one.name for one in without.outputs] == ["side"]
    assert [one.osc for one in without.routes] == ["/left"]
    assert (without.scenes[0].output, without.scenes[0].outputs) == (None, ("side",))
    assert remove_value(text, "output.2").count("[[route]]") == 2


def test_scenes_go_on_naming_a_route_whose_name_is_taken_by_one_that_is_added() -> None:
    added = tomllib.loads(add_table(SCENES, "route", '{"name": "/more", "from": "lift", "osc": "/third"}'))
    assert [row["route"] for row in added["scene"][0]["routes"]] == ["/lift", "/more 2"]
    assert route_names(added["route"]) == ["/lift", "/more 2", "/more"]


def test_scenes_go_on_naming_a_route_whose_address_changes() -> None:
    edited = set_value(SCENES, "route.2.osc", "/louder")
    assert edited == SCENES.replace("/more", "/louder")


@pytest.mark.parametrize("row", ["one", "two"])
def test_scenes_go_on_naming_routes_that_change_names(row: str) -> None:
    routes = [f'[[route]]\nname = "{name}"\nfrom = "lift"\nosc = "/{name}"\n' for name in ("one", "two")]
    text = "".join(routes) + f'[[scene]]\nname = "high"\nroutes = [{{ route = "{row}" }}]\n'
    edited = tomllib.loads(set_values(text, [("route.1.name", "two"), ("route.2.name", "one")]))
    [named] = [one for one in edited["route"] if one["name"] == edited["scene"][0]["routes"][0]["route"]]
    assert named["osc"] == f"/{row}"


def test_scenes_forget_a_route_that_is_removed() -> None:
    [scene] = parse_patch(remove_value(SCENES, "route.1"), Path("p")).scenes
    assert [(route.name, number in scene.muted) for number, route in enumerate(scene.routes, 1)] == [("/more", True)]


def test_a_scene_is_saved_over_the_one_of_that_name() -> None:
    edited = save_scene(SCENES, "high", ["lift"], [{"route": "/lift", "range": [1, 2]}])
    assert 'name = "high"     # for the end' in edited
    [scene] = parse_patch(edited, Path("p")).scenes
    assert (scene.routes[0].high, scene.outputs, scene.muted) == (2.0, ("lift",), frozenset())


def test_a_new_scene_comes_last_and_gets_the_first_free_key() -> None:
    edited = save_scene(save_scene(SCENES, "b", ["lift"], []), "c", ["lift"], [])
    assert [(scene.name, scene.key) for scene in parse_patch(edited, Path("p")).scenes] == [
        ("high", ""),
        ("b", "1"),
        ("c", "2"),
    ]


def test_what_a_route_does_when_lost_is_set_where_nothing_was() -> None:
    edited = set_value(TEXT, "route.1.when_lost.hold_s", 2.0)
    assert parse_patch(edited, Path("p")).routes[0].when_lost.hold_s == 2.0


def test_an_empty_text_takes_a_value_out() -> None:
    assert set_value(TEXT, "route.1.range", "") == TEXT.replace("range = [0, 10]\n", "")
    assert set_value(TEXT, "route.1.name", "") == TEXT


def test_several_values_are_set_at_once_as_one_after_the_other() -> None:
    pairs: list[tuple[str, TomlValue]] = [
        ("route.1.name", "one"),
        ("features.body", "upper"),
        ("features.mirror", "true"),
    ]
    after = TEXT
    for key, value in pairs:
        after = set_value(after, key, value)
    assert set_values(TEXT, pairs) == after


def test_a_drag_writes_what_single_edits_would() -> None:
    last, dragged, single = LastRead(), TEXT, TEXT
    for step in range(20):
        pairs: list[tuple[str, TomlValue]] = [("route.1.range.2", step + 1), ("route.1.curve", 0.5 + step / 8)]
        pairs += [("route.1.name", f"r{step}")] * (step % 3 == 0) + [("route.1.smooth_s", "")] * (step % 2)
        dragged, single = set_values(dragged, pairs, last), set_values(single, pairs)
        assert dragged == single


def test_an_edit_that_fails_halfway_leaves_nothing_for_the_next() -> None:
    last = LastRead()
    text = set_values(TEXT, [("smoothing.beta", 0.5)], last)
    with pytest.raises(ValueError, match="the patch has no 'at'"):
        set_values(text, [("smoothing.beta", 9.0), ("nowhere.at.all", 1)], last)
    assert set_values(text, [("route.1.curve", 2)], last) == set_values(text, [("route.1.curve", 2)])


def test_what_an_editor_wrote_in_between_is_read() -> None:
    last = LastRead()
    edited = set_values(TEXT, [("smoothing.beta", 0.5)], last).replace("how high", "how low")
    assert "how low" in set_values(edited, [("smoothing.beta", 0.6)], last)


INLINE = """route = [{ from = "posture", osc = "/a" }, { from = "posture", osc = "/b" }]
scene = [{ name = "verse", routes = [{ route = "/b", muted = true }] }]
"""


@pytest.mark.parametrize("name", ["route", "scene"])
def test_nothing_is_added_to_tables_that_are_written_inline_rather_than_losing_them(name: str) -> None:
    with pytest.raises(ValueError, match=rf"write each as a \[\[{name}\]\] table"):
        add_table(INLINE, name, '{"name": "new"}')
    with pytest.raises(ValueError, match="write each as a"):
        save_scene(INLINE, "new", [], [])


def test_a_route_that_is_written_inline_can_be_renamed_and_removed() -> None:
    renamed = tomllib.loads(set_values(INLINE, [("route.2.name", "bee")]))
    assert renamed["scene"][0]["routes"][0]["route"] == "bee"
    left = tomllib.loads(remove_value(INLINE, "route.2"))
    assert [one["osc"] for one in left["route"]] == ["/a"]
