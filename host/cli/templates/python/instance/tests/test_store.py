"""The store, on a real directory."""

import tempfile
import threading
import unittest
from pathlib import Path

import properties
import store
from faults import Fault


def spec(**other):
    one = {"properties": {"Note": "n"}, "tags": {"infrakit.group": "g"}, "init": "", "logical_id": None, "attachments": []}
    return one | other


class Store(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def refused(self, code, function, *arguments):
        with self.assertRaises(Fault) as caught:
            function(self.root, *arguments)
        self.assertEqual(caught.exception.code, code)

    def names(self, tags={}):
        instances, cursor, complete, findings = store.list_page(self.root, tags, None, 100)
        self.assertTrue((cursor, complete) == (None, True))
        return [it["name"] for it in instances], findings

    def test_a_name_stands_for_one_instance(self):
        for _ in range(3):
            self.assertEqual(store.provision(self.root, "a", spec()), "a")
        self.refused("already-exists", store.provision, "a", spec(init="other"))
        self.refused("already-exists", store.provision, "a", spec(properties={"Note": True}))
        self.assertEqual(self.names(), (["a"], []))

    def test_calls_at_once_make_one(self):
        answers = []
        provision = lambda: answers.append(store.provision(self.root, "a", spec()))
        calls = [threading.Thread(target=provision) for _ in range(16)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        self.assertEqual(answers, ["a"] * 16)
        self.assertEqual(sorted(it.name for it in self.root.iterdir()), ["a"])

    def test_a_label_is_not_another_spec(self):
        store.provision(self.root, "a", spec())
        store.label(self.root, "a", {"tier": "web", "x": "1"})
        store.label(self.root, "a", {"x": "2"})
        store.provision(self.root, "a", spec())
        self.assertEqual(self.names({"infrakit.group": "g", "tier": "web", "x": "2"})[0], ["a"])
        self.assertEqual(self.names({"x": "1"})[0], [])
        self.refused("not-found", store.label, "b", {})
        self.refused("not-found", store.label, "../a", {})

    def test_destroy_succeeds_where_it_is_gone(self):
        store.provision(self.root, "a", spec())
        store.destroy(self.root, "a")
        store.destroy(self.root, "a")
        self.assertEqual(list(self.root.iterdir()), [])
        self.refused("invalid-argument", store.destroy, "a/../b")

    def test_pages_hold_while_instances_come_and_go(self):
        for name in ("a", "b", "c", "d", "..", "."):
            store.provision(self.root, name, spec())
        first, cursor, _, _ = store.list_page(self.root, {}, None, 4)
        store.destroy(self.root, "a")
        second, end, _, _ = store.list_page(self.root, {}, cursor, 4)
        self.assertEqual([it["name"] for it in first + second], [".", "..", "a", "b", "c", "d"])
        self.assertIsNone(end)
        self.refused("invalid-argument", store.list_page, {}, None, 0)

    def test_what_is_not_an_instance_is_told_and_left_alone(self):
        (self.root / "file").write_text("mine")
        (self.root / "folder").mkdir()
        names, findings = self.names()
        self.assertEqual((names, [subject for subject, _ in findings]), ([], ["file", "folder"]))
        self.refused("permission-denied", store.destroy, "folder")
        self.refused("already-exists", store.provision, "file", spec())
        (self.root / "folder" / "keep").write_text("")
        self.refused("already-exists", store.provision, "folder", spec())

    def test_what_may_be_an_instance_makes_the_list_incomplete(self):
        store.provision(self.root, "a", spec())
        (self.root / "a" / "spec.json").write_text("{")
        _, _, complete, findings = store.list_page(self.root, {}, None, 100)
        self.assertFalse(complete)
        self.assertEqual(findings[0][0], "a")

    def test_without_a_grant_it_says_which(self):
        self.root = self.root / "absent"
        self.refused("permission-denied", store.provision, "a", spec())
        self.refused("permission-denied", store.label, "a", {})
        self.refused("permission-denied", store.destroy, "a")
        self.refused("permission-denied", store.list_page, {}, None, 1)


class Properties(unittest.TestCase):
    def test_what_is_wrong_is_named_with_its_place(self):
        for text, path in [("", ""), ("[]", ""), ('{"Note": 1}', "/Note"), ('{"a/b": 1}', "/a~1b"), ("[" * 99_999, "")]:
            with self.assertRaises(Fault) as caught:
                properties.check(text)
            self.assertEqual((caught.exception.code, caught.exception.path), ("invalid-argument", path))
        self.assertEqual(properties.check("null"), {})


if __name__ == "__main__":
    unittest.main()
