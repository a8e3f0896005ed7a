//! A fault of a document, with the line it is on.

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use homeostat_core::document::Diagnostic;

/// Draw a diagnostic: what is wrong, where, the line with a mark under the place, which member it is, how to mend it.
pub(crate) fn render(it: &Diagnostic, colour: bool) -> String {
    let file = if it.file == "-" { "standard input" } else { it.file.as_str() };
    let span = span(&it.source_line, it.source_column, it.len);
    let mut snippet = Snippet::source(it.source_line.as_str())
        .line_start(it.line as usize)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(span));
    let mut group = Level::ERROR.primary_title(it.message.as_str()).elements(None::<Origin<'_>>);
    if it.source_column == it.column {
        snippet = snippet.path(file);
    } else {
        // The line was cut, and the place in what is left of it is not the place in the document.
        group = group.element(Origin::path(file).line(it.line as usize).char_column(it.column as usize));
    }
    group = group.element(snippet);
    if !it.path.is_empty() {
        group = group.element(Level::NOTE.with_name("at").message(it.path.as_str()));
    }
    if let Some(help) = &it.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The bytes of a line that a column and a length in characters mean, cut to the line.
fn span(line: &str, column: u32, len: u32) -> std::ops::Range<usize> {
    let byte = |chars: u32| line.char_indices().nth(chars as usize).map_or(line.len(), |(i, _)| i);
    let start = column.saturating_sub(1);
    byte(start)..byte(start.saturating_add(len))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};
    use homeostat_core::document::{Document, Source};

    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: &Expect) {
        let faults = Document::read(&Source { name, text, base_dir: Path::new("/") }).unwrap_err();
        expected.assert_eq(&faults.iter().map(|it| render(it, false)).collect::<Vec<_>>().join("\n\n"));
    }

    fn diagnostic() -> Diagnostic {
        Diagnostic {
            message: "expected a whole number".into(),
            path: "Properties.Allocation.Size".into(),
            pointer: "/Properties/Allocation/Size".into(),
            file: "web.json".into(),
            line: 3,
            column: 9,
            len: 5,
            source_line: "\"ü\":\t  \"abc\",".into(),
            source_column: 8,
            help: Some("write 3".into()),
        }
    }

    #[test]
    fn a_document_with_faults() {
        check(
            "web.json",
            "{\"ID\": \"web\",\n \"Properties\": {\"Allocation\": {\"Size\": -3},\n  \"Instance\": {\"Plugin\": \"a\"}, \"Flavour\": {}}}",
            &expect![[r#"
                error: the number -3 is negative; expected a whole number from 0 to 100000
                 --> web.json:2:40
                  |
                2 |  "Properties": {"Allocation": {"Size": -3},
                  |                                        ^^
                  |
                  = at: Properties.Allocation.Size

                error: unknown field "Flavour"
                 --> web.json:3:32
                  |
                3 |   "Instance": {"Plugin": "a"}, "Flavour": {}}}
                  |                                ^^^^^^^^^
                  |
                  = at: Properties.Flavour
                  = help: did you mean "Flavor"?"#]],
        );
    }

    #[test]
    fn a_place_off_the_line_does_no_harm() {
        let far = Diagnostic { source_column: 4_000_000_000, len: u32::MAX, ..diagnostic() };
        assert!(render(&far, false).contains("expected a whole number"));
        let empty = Diagnostic { source_line: String::new(), source_column: 1, len: 1, ..diagnostic() };
        assert!(render(&empty, false).contains("web.json:3:9"), "{}", render(&empty, false));
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let it = diagnostic();
        assert_eq!(&it.source_line[span(&it.source_line, it.source_column, it.len)], "\"abc\"");
    }

    #[test]
    fn colour_is_added_and_changes_no_word() {
        let coloured = render(&diagnostic(), true);
        assert_ne!(coloured, render(&diagnostic(), false));
        assert_eq!(console::strip_ansi_codes(&coloured), render(&diagnostic(), false));
    }
}
