"""Health by state and age."""

import unittest

from cloud_init.health import judge

NOW = 1_800_000_000_000


class Health(unittest.TestCase):
    def test_state_and_age_decide(self):
        for state, message, age_ms, status, says in [
            ("running", "", 10**9, "healthy", ""),
            ("pending", "", 59_000, "unknown", "booting for 59 s"),
            ("pending", "", 60_000, "unknown", "booting for 60 s"),
            ("pending", "no disk", 61_000, "unhealthy", "not running 61 s after it was made; BootTimeout is 60 s: no disk"),
            ("pending", "", -5_000, "unknown", "booting for 0 s"),
            ("stopping", "", 0, "unhealthy", "it is stopping"),
            ("stopped", "", 0, "unhealthy", "it is stopped"),
            ("failed", "no disk", 0, "unhealthy", "it failed: no disk"),
        ]:
            self.assertEqual(judge(state, message, NOW - age_ms, NOW, 60_000), (status, says))

    def test_without_an_age_it_cannot_be_told(self):
        status, says = judge("pending", "", None, NOW, 60_000)
        self.assertEqual(status, "unknown")
        self.assertIn("does not tell since when", says)


if __name__ == "__main__":
    unittest.main()
