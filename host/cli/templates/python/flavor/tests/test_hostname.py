"""Host names, without Wasm."""

import json
import unittest

import hostname
from faults import Fault

EXAMPLE = json.dumps(hostname.EXAMPLE)


class Hostname(unittest.TestCase):
    def test_an_instance_is_called_after_its_place(self):
        self.assertEqual(hostname.init(EXAMPLE, "web", 2, None), "hostname web-2.example.org")
        self.assertEqual(hostname.init(EXAMPLE, "web", 2, "db-primary"), "hostname db-primary.example.org")

    def test_what_is_wrong_is_named_with_its_place(self):
        for text, path in [
            ("", ""),
            ("[]", ""),
            ("null", "/Domain"),
            ('{"Domain": 1}', "/Domain"),
            ('{"Domain": "a b"}', "/Domain"),
            ('{"Domain": "a\\n"}', "/Domain"),
            ('{"Domain": "a", "b/c": 1}', "/b~1c"),
            ("[" * 99_999, ""),
        ]:
            with self.assertRaises(Fault) as caught:
                hostname.domain(text)
            self.assertEqual((caught.exception.code, caught.exception.path), ("invalid-argument", path), text[:80])

    def test_no_name_is_more_than_a_name(self):
        for group in ("a b", "a;reboot", "a" * 64, ""):
            with self.assertRaises(Fault):
                hostname.init(EXAMPLE, group, 1, None)


if __name__ == "__main__":
    unittest.main()
