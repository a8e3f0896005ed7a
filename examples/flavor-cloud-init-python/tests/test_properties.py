"""Reading, filling in and checking what was declared."""

import json
import unittest

from cloud_init import properties
from cloud_init.placeholders import Place
from cloud_init.properties import LogicalIds, Size
from cloud_init.reading import Invalid

PLACE = Place("web", 3, None)
KEY = "ssh-ed25519 AAAAC3Nz ops@example.org"


def invalid(value, group=Size(3)):
    """The error for these properties."""
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        properties.check(properties.read(text), group)
    except Invalid as error:
        return error
    raise AssertionError(f"it was accepted: {text[:200]}")


class Reading(unittest.TestCase):
    def test_what_users_write_is_read(self):
        for value in [None, {}, properties.EXAMPLE, {"Run": ["ls", ["echo", "a b"]], "BootTimeout": "1h30m"}]:
            properties.check(properties.read(json.dumps(value)), Size(3))
        self.assertEqual(properties.read('{"BootTimeout": "1m2.5s"}').boot_timeout_ms, 62_500)
        self.assertEqual(properties.read("null").boot_timeout_ms, 600_000)

    def test_what_is_wrong_is_named_with_its_place(self):
        user = {"Name": "ops"}
        file = {"Path": "/etc/motd", "Content": ""}
        for value, path, says in [
            ("[]", "", "expected an object at the properties, found an array"),
            ("{", "", "not JSON"),
            ('{"Run": NaN}', "", "NaN is no JSON"),
            ("[" * 50_000, "", "nested more than 64 deep"),
            ("[" * 500_000, "", "more than 256 KiB"),
            ('{"Run": ["\\ud800"]}', "", "surrogate"),
            ({"run": []}, "/run", "did you mean `Run`?"),
            ({"a/b~c": 1}, "/a~1b~0c", "known are"),
            ({"Hostname": 7}, "/Hostname", "expected a string at /Hostname, found a number"),
            ({"Hostname": "a_b{{sequence}}"}, "/Hostname", "is no host name"),
            ({"Hostname": "10.0.0.{{sequence}}"}, "/Hostname", "is no host name"),
            ({"Hostname": f"{'a' * 64}{{{{sequence}}}}"}, "/Hostname", "is no host name"),
            ({"BootTimeout": "5 minutes"}, "/BootTimeout", "is no duration"),
            ({"BootTimeout": 300}, "/BootTimeout", "expected a string"),
            ({"Packages": "nginx"}, "/Packages", "expected an array"),
            ({"Packages": ["nginx", "-y; reboot"]}, "/Packages/1", "is no name of a package"),
            ({"AuthorizedKeys": ["key"]}, "/AuthorizedKeys/0", "is no public key"),
            ({"AuthorizedKeys": [f"{KEY}\nssh-rsa AAAA"]}, "/AuthorizedKeys/0", "it is one line"),
            ({"Users": [{}]}, "/Users/0", "`Name` is missing"),
            ({"Users": [user, user]}, "/Users/1/Name", "two users `ops`"),
            ({"Users": [{"Name": "Ops"}]}, "/Users/0/Name", "is no user name"),
            ({"Users": [{**user, "Sudo": "yes"}]}, "/Users/0/Sudo", "expected true or false"),
            ({"Users": [{**user, "Groups": [1]}]}, "/Users/0/Groups/0", "expected a string"),
            ({"Users": [{**user, "Shell": "bash"}]}, "/Users/0/Shell", "absolute path"),
            ({"Users": [{**user, "AuthorizedKey": []}]}, "/Users/0/AuthorizedKey", "did you mean `AuthorizedKeys`?"),
            ({"Files": [{**file, "Path": "etc/motd"}]}, "/Files/0/Path", "absolute path"),
            ({"Files": [{**file, "Mode": "rw"}]}, "/Files/0/Mode", "in octal"),
            ({"Files": [{**file, "Owner": "root:"}]}, "/Files/0/Owner", "USER:GROUP"),
            ({"Files": [{"Path": "/a"}]}, "/Files/0", "`Content` is missing"),
            ({"Run": [{}]}, "/Run/0", "expected a command"),
            ({"Run": [[]]}, "/Run/0", "expected a command"),
            ({"Run": [["ls", 1]]}, "/Run/0/1", "expected a string"),
        ]:
            error = invalid(value)
            self.assertEqual(error.path, path, error.message)
            self.assertIn(says, error.message)

    def test_numbers_of_any_size_are_no_accident(self):
        self.assertEqual(invalid('{"Hostname": ' + "9" * 100_000 + "}").path, "/Hostname")

    def test_the_schema_knows_the_same_names(self):
        schema = properties.SCHEMA["properties"]
        self.assertEqual(set(properties.EXAMPLE) | {"AuthorizedKeys"}, set(schema))
        self.assertFalse(schema["Users"]["items"]["additionalProperties"])


class Placeholders(unittest.TestCase):
    def filled(self, value, place=PLACE):
        return properties.filled(properties.read(json.dumps(value)), place)

    def test_they_are_filled_in_wherever_strings_are(self):
        declared = self.filled(
            {
                "Hostname": "{{ group }}-{{sequence}}",
                "Users": [{"Name": "u{{sequence}}"}],
                "Files": [{"Path": "/etc/{{group}}", "Content": "{{{{ .Names }} {a} ${b} }} {{sequence}}"}],
                "Run": ["echo {{group}}", ["echo", "{{sequence}}"]],
            }
        )
        self.assertEqual(declared["Hostname"], "web-3")
        self.assertEqual(declared["Users"][0]["Name"], "u3")
        self.assertEqual(declared["Files"][0], {"Path": "/etc/web", "Content": "{{ .Names }} {a} ${b} }} 3"})
        self.assertEqual(declared["Run"], ["echo web", ["echo", "3"]])

    def test_an_unknown_one_is_an_error_at_its_place(self):
        for value, path, says in [
            ({"Run": ["ok", ["a", "{{ seqence }}"]]}, "/Run/1/1", "unknown placeholder `seqence`; did you mean `sequence`?"),
            ({"Files": [{"Path": "/a", "Content": "{{.Names}}"}]}, "/Files/0/Content", "known are group"),
            ({"Hostname": "{{group"}, "/Hostname", "never closed"),
            ({"Hostname": "{{logical-id}}"}, "/Hostname", "has a Size and no LogicalIDs"),
            ({"Run": ["{{}}"]}, "/Run/0", "unknown placeholder ``"),
        ]:
            error = invalid(value, Size(0))
            self.assertEqual(error.path, path, error.message)
            self.assertIn(says, error.message)

    def test_a_value_is_not_filled_in_twice(self):
        place = Place("web", 1, "{{group}}")
        self.assertEqual(self.filled({"Hostname": "a", "Run": ["{{logical-id}}"]}, place)["Run"], ["{{group}}"])

    def test_no_two_instances_have_one_host_name(self):
        self.assertIn("all instances would have", invalid({"Hostname": "web"}, Size(2)).message)
        properties.check(properties.read('{"Hostname": "web"}'), Size(1))
        pets = LogicalIds(("a", "b"))
        self.assertIn("`a` and `b`", invalid({"Hostname": "db"}, pets).message)
        properties.check(properties.read("{}"), pets)
        self.assertEqual(invalid({}, LogicalIds(("10.0.0.5",))).path, "/Hostname")

    def test_the_default_is_the_identity(self):
        self.assertEqual(self.filled({})["Hostname"], "web-3")
        self.assertEqual(self.filled({}, Place("db", 1, "db-primary"))["Hostname"], "db-primary")


if __name__ == "__main__":
    unittest.main()
