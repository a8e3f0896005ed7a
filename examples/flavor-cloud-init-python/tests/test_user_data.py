"""What cloud-init gets to read."""

import json
import unittest

from cloud_init import properties, user_data
from cloud_init.placeholders import Place


def render(value, init=""):
    """The text for these properties, and what stands in it."""
    text = user_data.render(properties.filled(properties.read(json.dumps(value)), Place("web", 2, None)), init)
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config", first
    return text, json.loads(rest)


class UserData(unittest.TestCase):
    def test_the_example(self):
        _, config = render(properties.EXAMPLE)
        key = properties.EXAMPLE["Users"][0]["AuthorizedKeys"]
        self.assertEqual(
            config,
            {
                "hostname": "web-2",
                "fqdn": "web-2.example.org",
                "users": [
                    {
                        "name": "ops",
                        "shell": "/bin/bash",
                        "lock_passwd": True,
                        "sudo": "ALL=(ALL) NOPASSWD:ALL",
                        "ssh_authorized_keys": key,
                    }
                ],
                "package_update": True,
                "packages": ["nginx"],
                "write_files": [
                    {
                        "path": "/var/www/html/index.html",
                        "content": "I am number 2 of web.\n",
                        "permissions": "0644",
                        "owner": "root:root",
                    }
                ],
                "runcmd": ["systemctl enable --now nginx"],
            },
        )

    def test_what_is_not_declared_is_not_there(self):
        self.assertEqual(render({})[1], {"hostname": "web-2"})

    def test_the_images_own_user_stays_where_it_has_keys(self):
        key = "ssh-ed25519 AAAA a"
        _, config = render({"AuthorizedKeys": [key], "Users": [{"Name": "ops"}]})
        self.assertEqual((config["users"][0], config["ssh_authorized_keys"]), ("default", [key]))
        self.assertEqual(render({"Users": [{"Name": "ops"}]})[1]["users"][0]["name"], "ops")

    def test_a_script_that_was_there_runs_first(self):
        for init, command in [
            ("#!/usr/bin/python3\nprint()", [user_data.EARLIER_INIT]),
            ("echo a\necho b", ["/bin/sh", user_data.EARLIER_INIT]),
        ]:
            _, config = render({"Run": ["last"], "Files": [{"Path": "/a", "Content": ""}]}, init)
            self.assertEqual(config["runcmd"], [command, "last"])
            self.assertEqual([file["path"] for file in config["write_files"]], [user_data.EARLIER_INIT, "/a"])
            self.assertEqual((config["write_files"][0]["content"], config["write_files"][0]["permissions"]), (init, "0700"))

    def test_every_string_is_yaml_too(self):
        nasty = "\x00\t\x7f\x85\x9f\u2028\u2029\ufeff\ufffe\"\\ 'é 日 \U0001f600 #:-"
        text, config = render({"Run": [nasty]})
        self.assertEqual(config["runcmd"], [nasty])
        # What YAML 1.1 allows in a document (its c-printable), less its line breaks beyond ASCII.
        for character in set(text):
            beyond = "\xa0" <= character not in "\u2028\u2029\ufeff\ufffe\uffff"
            allowed = character == "\n" or " " <= character <= "~" or beyond
            self.assertTrue(allowed, f"{ord(character):x}")
        # Characters beyond the basic plane stand as they are: YAML would not join an escaped pair.
        self.assertIn("\U0001f600", text)

    def test_the_same_gives_the_same(self):
        self.assertEqual(render(properties.EXAMPLE)[0], render(properties.EXAMPLE)[0])


if __name__ == "__main__":
    unittest.main()
