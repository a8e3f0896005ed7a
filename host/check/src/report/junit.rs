//! A run as JUnit's XML, which CI systems read.

use std::fmt::Write;

use super::{CheckReport, Outcome, Report};

impl Report {
    /// The run as one test suite, a test case a check.
    pub fn junit(&self) -> String {
        let counts = self.counts;
        let failures = counts.failed + usize::from(!self.leftovers.is_empty());
        let tests = self.checks.len() + usize::from(!self.leftovers.is_empty());
        let name = format!("homeostat plugin check {}", self.file.display());
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing to a string does not fail.
        let _ = writeln!(
            xml,
            "<testsuites>\n<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{}\" \
             time=\"{:.3}\">",
            escaped(&name),
            counts.skipped + counts.waived + counts.blocked,
            self.took.as_secs_f64(),
        );
        for check in &self.checks {
            let class = format!("homeostat.{}", check.level);
            let title = format!("{} {}", check.id, check.title);
            let time = check.took.as_secs_f64();
            let _ = write!(xml, "<testcase classname=\"{class}\" name=\"{}\" time=\"{time:.3}\"", escaped(&title));
            match self.inside(check) {
                None => xml.push_str("/>\n"),
                Some(inside) => {
                    let _ = writeln!(xml, ">{inside}</testcase>");
                }
            }
        }
        if !self.leftovers.is_empty() {
            let left = escaped(&self.leftovers.join("\n"));
            let _ = writeln!(
                xml,
                "<testcase classname=\"homeostat.{}\" name=\"clean-up\"><failure message=\"something was left behind\">{left}\
                 </failure></testcase>",
                self.level
            );
        }
        let _ = writeln!(xml, "<system-out>{}</system-out>\n</testsuite>\n</testsuites>", escaped(&self.verdict));
        xml
    }

    fn inside(&self, check: &CheckReport) -> Option<String> {
        let details = || escaped(&check.details(&self.repeat(check.id)));
        Some(match &check.outcome {
            Outcome::Passed { .. } => return None,
            Outcome::Failed(failure) => {
                format!("<failure message=\"{}\">{}</failure>", escaped(&failure.actual), details())
            }
            Outcome::Waived { until, reason, .. } => {
                let message = escaped(&format!("waived until {until}: {reason}"));
                format!("<skipped message=\"{message}\"/><system-out>{}</system-out>", details())
            }
            Outcome::Skipped { reason } => format!("<skipped message=\"{}\"/>", escaped(reason)),
            Outcome::Blocked { by } => {
                let ids: Vec<_> = by.iter().map(ToString::to_string).collect();
                format!("<skipped message=\"not run: it builds on {}\"/>", ids.join(", "))
            }
        })
    }
}

/// A text for XML 1.0, which knows no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
